"""Weights survive a round trip bit by bit; files that do not fit or are damaged are refused in one line."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from segue.models.build import build_encoder, build_segmenter
from segue.models.tensor_files import read_state
from segue.models.weights import Card, load_encoder, load_model, load_start, save_model
from segue.protocol import PredictionProtocol

NETWORK = {"encoder": "mit_nano", "head": "daformer", "num_classes": 2, "channels": 8}
CARD = Card(
    classes=["road", "sky"],
    colours=[[128, 64, 128], [70, 130, 180]],
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    network=NETWORK,
    prediction=PredictionProtocol((64, 96), precision="bfloat16"),
    recipe="daformer",
    step=12,
    versions={"segue": "0.1.0"},
)


@pytest.fixture
def saved(tmp_path):
    network = build_segmenter(**NETWORK)
    folder = tmp_path / "run" / "model"
    save_model(folder, network, CARD)
    return folder, network


def test_model_round_trip(saved):
    folder, network = saved
    loaded, card = load_model(folder)
    assert card == CARD
    assert not loaded.training
    own, other = network.state_dict(), loaded.state_dict()
    assert own.keys() == other.keys()
    assert all(torch.equal(own[name], other[name]) for name in own)
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(loaded(image).logits, network.eval()(image).logits)


def test_saving_again_replaces_and_leaves_nothing_beside(saved):
    folder, network = saved
    save_model(folder, network, replace(CARD, step=13))
    assert load_model(folder)[1].step == 13
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "card.json"}


def test_half_precision_files_are_widened(saved):
    folder, network = saved
    half = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    save_file(half, folder / "model.safetensors")
    assert {parameter.dtype for parameter in load_model(folder)[0].parameters()} == {torch.float32}


@pytest.mark.parametrize("name", ["model.safetensors", "card.json"])
def test_truncated_files(saved, name):
    folder, _ = saved
    path = folder / name
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=rf"{name}: damaged.*again") as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_missing_files(saved):
    folder, _ = saved
    with pytest.raises(FileNotFoundError, match=r"card\.json"):
        load_model(folder / "elsewhere")
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": {**NETWORK, "head": "daform"}}, "cannot be built: unknown head 'daform'"),
        ({"network": {"encoder": "mit_nano"}}, "cannot be built"),
        ({"network": {**NETWORK, "channels": 16}}, "of another shape"),
        ({"colour": 1}, "exactly the keys"),
    ],
)
def test_cards_that_do_not_fit(saved, change, message):
    folder, _ = saved
    content = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**content, **change}))
    with pytest.raises(ValueError, match=message):
        load_model(folder)


def test_cards_of_earlier_versions_hold_what_training_left(saved):
    folder, _ = saved
    content = json.loads((folder / "card.json").read_text())
    del content["batch_statistics"], content["prediction"]["precision"]
    (folder / "card.json").write_text(json.dumps(content))
    card = load_model(folder)[1]
    assert (card.batch_statistics, card.prediction.precision) == ("as trained", "float32")
    content["prediction"] = {"windows": [1, 1]}
    (folder / "card.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"card\.json: not a way to predict"):
        load_model(folder)


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_encoder_from_a_pytorch_file(tmp_path, wrapper):
    source, encoder = build_encoder("mit_nano"), build_encoder("mit_nano")
    state = {**source.state_dict(), "head.weight": torch.zeros(1000, 128), "head.bias": torch.zeros(1000)}
    torch.save({wrapper: state} if wrapper else state, tmp_path / "mit.pth")
    load_encoder(encoder, tmp_path / "mit.pth")
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), encoder.parameters(), strict=True))


def test_encoder_is_strict(tmp_path):
    state = dict(build_encoder("mit_nano").state_dict())
    state["surprise"] = state.pop("norm1.bias")
    state["norm2.bias"] = torch.zeros(3)
    save_file(state, tmp_path / "mit.safetensors")
    with pytest.raises(
        ValueError, match=r"mit\.safetensors: not the weights of this MixTransformer"
    ) as caught:
        load_encoder(build_encoder("mit_nano"), tmp_path / "mit.safetensors")
    message = str(caught.value)
    assert "1 missing (norm1.bias)" in message
    assert "1 unexpected (surprise)" in message
    assert "1 of another shape (norm2.bias)" in message


class Trap:
    """A pickle that would write a file if it were executed."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_no_pickle_is_executed(tmp_path):
    torch.save({"weight": Trap(tmp_path / "executed")}, tmp_path / "trap.pth")
    with pytest.raises(ValueError, match=r"trap\.pth: refused: to open it"):
        read_state(tmp_path / "trap.pth")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04"])
@pytest.mark.parametrize("name", ["mit.pth", "mit.safetensors"])
def test_files_that_hold_no_weights(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}: damaged, or not a weights file"):
        read_state(tmp_path / name)


def test_a_file_of_something_else(tmp_path):
    torch.save({"step": 3}, tmp_path / "step.pth")
    with pytest.raises(ValueError, match="holds no named tensors"):
        read_state(tmp_path / "step.pth")


def test_training_can_start_from_a_whole_model(saved):
    folder, network = saved
    for place in (folder, folder.parent):  # a model folder, and the run folder around it
        other = build_segmenter(**NETWORK)
        load_start(other, place, ["road", "sky"])
        own = network.state_dict()
        assert all(torch.equal(value, own[name]) for name, value in other.state_dict().items())
    with pytest.raises(ValueError, match=r"model\.safetensors: not the weights of this Segmenter"):
        load_start(
            build_segmenter("mit_nano", "segformer", num_classes=2, channels=8), folder, ["road", "sky"]
        )
    with pytest.raises(FileNotFoundError, match="no such weights file"):
        load_start(network, folder / "nowhere", ["road", "sky"])
    with pytest.raises(
        ValueError, match=r"was trained on the classes road, sky, and this pair has sky, road"
    ):
        load_start(network, folder, ["sky", "road"])
