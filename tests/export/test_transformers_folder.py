"""A SegFormer's folder opens in the transformers library with no tensor missing, and predicts the same there."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tiny import tiny, write_model

from segue.evaluation.model import TrainedModel
from segue.export.agreement import agreements
from segue.export.transformers_folder import is_segformer, transformers_predictor, write_transformers

transformers = pytest.importorskip("transformers")


@pytest.fixture
def model(tmp_path: Path) -> TrainedModel:
    write_model(
        tiny("daformer", {"network": {"encoder": "mit_nano", "head": "segformer"}}), tmp_path / "model"
    )
    return TrainedModel.load(tmp_path / "model", "cpu")


def test_it_predicts_the_same_in_transformers(model: TrainedModel, tmp_path: Path) -> None:
    assert is_segformer(model)
    write_transformers(model, tmp_path / "out")
    found = list(agreements(model, transformers_predictor(tmp_path / "out")))
    assert len(found) == 6 and all(one.holds for one in found), found


def test_its_processor_normalises_as_the_model_does(model: TrainedModel, tmp_path: Path) -> None:
    write_transformers(model, tmp_path / "out")
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / "out", local_files_only=True)
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    theirs = processor(picture, return_tensors="pt")["pixel_values"]
    ours = model.normalised(torch.from_numpy(picture).permute(2, 0, 1)[None])
    assert torch.allclose(theirs, ours, atol=1e-4)
    names = json.loads((tmp_path / "out/config.json").read_text())["id2label"]
    assert list(names.values()) == list(model.classes.names)


def test_other_heads_have_no_such_folder(tmp_path: Path) -> None:
    write_model(tiny("daformer", {"network": {"head": "daformer"}}), tmp_path / "model")
    assert not is_segformer(TrainedModel.load(tmp_path / "model", "cpu"))


def test_a_missing_tensor_is_told(model: TrainedModel, tmp_path: Path) -> None:
    write_transformers(model, tmp_path / "out")
    from safetensors.torch import load_file, save_file

    state = load_file(tmp_path / "out/model.safetensors")
    state.pop("decode_head.classifier.bias")
    save_file(state, tmp_path / "out/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="does not find its tensors"):
        transformers_predictor(tmp_path / "out")


def test_what_is_written_is_read_back_as_a_checkpoint(model: TrainedModel, tmp_path: Path) -> None:
    write_transformers(model, tmp_path / "out")
    from safetensors.torch import load_file

    from segue.models import naming

    state = load_file(tmp_path / "out/model.safetensors")
    back, left = naming.to_ours(state, list(model.network.state_dict()), naming.HUGGING_FACE)
    assert not left
    own = {n: v for n, v in model.network.state_dict().items()}
    assert back.keys() == own.keys() and all(torch.equal(back[n], own[n]) for n in own)
