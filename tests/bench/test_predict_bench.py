"""Encoders and prediction are compared with peers of the same size and weights; starting is timed, too."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segue.bench import encoder, predict, startup
from segue.bench.loader import write_picture
from segue.bench.official_networks import PlainSegmenter
from segue.evaluation.prediction_files import write_predictions
from segue.models.build import build_encoder

CPU = torch.device("cpu")


def test_the_official_order_predicts_the_same_classes() -> None:
    model = predict.model_of("mit_nano", "daformer", (64, 128), CPU)
    picture = torch.randint(0, 256, (1, 3, 64, 128), dtype=torch.uint8)
    theirs = predict.official_classes(PlainSegmenter(model.network).eval(), model.normalised(picture))
    assert float((model.classes_of(picture) == theirs).float().mean()) > 0.999


@pytest.mark.slow
def test_the_pipeline_predicts_the_same_classes(tmp_path: Path) -> None:
    model = predict.model_of("mit_b0", "segformer", (64, 128), CPU)
    write_picture(tmp_path, "a", 0, (64, 128))
    path = tmp_path / "images" / "a.jpg"
    predict.pipeline(model, (64, 128))(path, tmp_path / "a.png")
    assert write_predictions(model, {"a": path}, tmp_path / "out").predicted == 1
    ours, theirs = (np.asarray(Image.open(tmp_path / name)) for name in ("out/index/a.png", "a.png"))
    assert (ours == theirs).mean() > 0.99


@pytest.mark.slow
def test_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = predict.rows(size=(64, 128), large=(64, 128), pictures=1, repeats=1, device="cpu")
    assert [row["name"] for row in rows] == [
        "predict_mit_b0_128x64_files",
        "predict_mit_b0_128x64_whole",
        "predict_mit_b0_128x64_whole_bf16",
    ]
    rows = startup.rows(repeats=1)
    assert [row["name"] for row in rows] == ["startup_import", "startup_help", "startup_first_step"]
    assert all(row["value"] > 0 and "spread" in row for row in rows)


@pytest.mark.slow
def test_a_run_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "FEW", ("data.crop=nonsense",))
    with pytest.raises(RuntimeError, match=r"did not come to its first step: .*crop"):
        startup._until_first_step()


@pytest.mark.slow
def test_rows_of_encoders(monkeypatch):
    assert [(name, *precisions) for name, precisions, _ in encoder.PLAN] == [
        ("mit_b0", "fp32", "bf16"),
        ("mit_b5", "fp32"),
    ]
    monkeypatch.setattr(encoder, "PLAN", encoder.PLAN[:1])
    rows = encoder.rows(size=64, batch=1, repeats=1, device="cpu")
    assert [row["name"] for row in rows] == ["mit_b0_train_fp32", "mit_b0_train_bf16"]
    assert all(row["value"] > 0 and row["unit"] == "ms" for row in rows)


@pytest.mark.slow
def test_the_peer_is_the_same_network():
    image = torch.rand(1, 3, 64, 64)
    ours, peer = build_encoder("mit_b0"), encoder._peer("mit_b0")
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in peer.parameters())
    assert [maps.shape for maps in ours(image)] == [maps.shape for maps in peer(image)]
