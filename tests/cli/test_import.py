"""``segue import`` writes a model that predicts, or nothing at all."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.parity import to_foreign

from segue.cli.import_ import import_
from segue.cli.predict import predict
from segue.models.build import build_encoder, build_segmenter
from segue.models.naming import MULTI_RESOLUTION
from segue.models.weights import load_encoder, load_model

HRDA = {"encoder": "mit_b0", "head": "daformer", "num_classes": 19, "channels": 8}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = build_segmenter(**HRDA, multi_resolution={"detail": (512, 512)})
    state = to_foreign(network.state_dict(), MULTI_RESOLUTION)
    path = tmp_path / "hrda.pth"
    torch.save({"state_dict": {f"model.{name}": value for name, value in state.items()}}, path)
    return path


def test_a_model_that_predicts(checkpoint: Path, tmp_path: Path, capsys) -> None:
    import_(checkpoint, out=tmp_path / "model", kind="hrda", recipe="mic")
    printed = capsys.readouterr().out
    assert "hrda (HRDA or MIC), student: mit_b0, daformer head" in printed and "19 classes" in printed
    network, card = load_model(tmp_path / "model")
    assert card.recipe == "mic" and card.classes[0] == "road"
    assert (card.prediction.mode, card.prediction.blend, card.prediction.overlap) == ("sliding", "mean", 0.5)
    assert network.detail == (512, 512)
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "pictures" / "one.png")
    predict(tmp_path / "model", tmp_path / "pictures", out=tmp_path / "out", device="cpu")
    with Image.open(tmp_path / "out/index/one.png") as picture:
        assert picture.size == (40, 30)


def test_what_it_is_not_taken_for(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"given as daformer, but it is hrda"):
        import_(checkpoint, out=tmp_path / "model", kind="daformer")
    assert not (tmp_path / "model").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ValueError, match="exists and is not empty"):
        import_(checkpoint, out=tmp_path / "full")
    with pytest.raises(FileNotFoundError, match="no such file"):
        import_(tmp_path / "nothing.pth")


def test_classes(tmp_path: Path) -> None:
    network = build_segmenter("mit_b0", "segformer", num_classes=3, channels=8)
    state = {
        name.replace("encoder.", "backbone.").replace("head.", "decode_head."): value
        for name, value in network.state_dict().items()
    }
    torch.save(state, tmp_path / "three.pth")
    with pytest.raises(ValueError, match="tells 3 classes apart and names none"):
        import_(tmp_path / "three.pth", out=tmp_path / "model")
    (tmp_path / "two.json").write_text('["a", "b"]')
    with pytest.raises(ValueError, match=r"2 classes, but .* tells 3 apart"):
        import_(tmp_path / "three.pth", out=tmp_path / "model", classes=tmp_path / "two.json")
    (tmp_path / "three.json").write_text('["a", "b", "c"]')
    import_(tmp_path / "three.pth", out=tmp_path / "model", classes=tmp_path / "three.json")
    assert list(load_model(tmp_path / "model")[1].classes) == ["a", "b", "c"]


def test_an_encoder_alone(tmp_path: Path, capsys) -> None:
    encoder = build_encoder("mit_b0")
    torch.save({**encoder.state_dict(), "head.weight": torch.zeros(1000, 256)}, tmp_path / "mit_b0.pth")
    import_(tmp_path / "mit_b0.pth", out=tmp_path / "weights")
    assert "network.weights=" in capsys.readouterr().out
    other = build_encoder("mit_b0")
    load_encoder(other, tmp_path / "weights" / "encoder.safetensors")
    assert torch.equal(other.state_dict()["norm4.weight"], encoder.state_dict()["norm4.weight"])
