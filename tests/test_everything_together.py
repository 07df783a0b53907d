"""Every piece combines: DAFormer, HRDA, MIC, STCT, MHA, DIDA and SSR in one run, resumed bit by bit, saved plain."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from segue.engine.run import train
from segue.models.weights import load_model
from tests.tiny import QUIET, assert_same_tensors, stopped_after_two_steps, tiny

EVERYTHING = {
    "method": {
        "coordinate": {"mode": "coordinated"},
        "pair": {"grouping": "semantic", "target_mask": "mixed"},
    },
    "terms": {
        "feature_distance": {},
        "instance_bank": {"size": 24, "warmup": 0.0, "interval": 1, "beta": 0.9},
        "frozen_regularizer": {"encoder": "sam_tiny", "mask_branch": True},
    },
    "run": {"save_every": 1},
}


@pytest.mark.slow
def test_three_steps_of_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = tiny("mic", EVERYTHING)
    scores = train(wanted, tmp_path / "whole", console=QUIET, cpu=True)
    assert scores is not None
    metrics = (tmp_path / "whole" / "metrics.jsonl").read_text()
    for name in (
        "source/frozen_regularizer",
        "target/frozen_regularizer",
        "masked/frozen_regularizer",
        "source/feature_distance",
        "masked/segmentation",
    ):
        assert f'"{name}"' in metrics, name

    with stopped_after_two_steps(monkeypatch):
        train(wanted, tmp_path / "broken", console=QUIET, cpu=True)
    assert train(wanted, tmp_path / "broken", console=QUIET, cpu=True) == scores
    for file in ("method", "optimizer"):
        name = f"checkpoints/0000003/{file}.safetensors"
        assert_same_tensors(tmp_path / "whole" / name, tmp_path / "broken" / name)

    state = load_file(tmp_path / "whole/model/model.safetensors")
    plain = tiny("hrda")
    assert train(plain, tmp_path / "plain", console=QUIET, cpu=True) is not None
    assert state.keys() == load_file(tmp_path / "plain/model/model.safetensors").keys()
    network, _ = load_model(tmp_path / "whole" / "model")
    trained = load_file(tmp_path / "whole/checkpoints/0000003/method.safetensors")
    assert not any("frozen." in key or "reference" in key for key in trained)
    assert all(torch.equal(value, trained[f"student.{key}"]) for key, value in network.state_dict().items())
