"""Networks of every kind go through the engine: two steps of a method, scores, and a model that predicts again."""

import json
import math
from pathlib import Path

import pytest
import torch

from segue.engine.run import train
from segue.models.encoders import ENCODERS
from segue.models.encoders.encoder import Variant
from segue.models.encoders.resnet import ResNet
from segue.models.weights import load_model
from tests.tiny import QUIET, tiny


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "head"),
    [
        ("resnet50_v1c", "deeplab_v3plus"),
        ("resnet101_caffe", "deeplab_v2"),
        ("dinov2_tiny", "daformer"),
        ("dinov3_tiny", "deeplab_v3plus"),
    ],
)
def test_two_steps(tmp_path: Path, encoder: str, head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shallow = (1, 1, 1, 1)  # what a checkpoint of the real depth takes to write would be most of the test
    monkeypatch.setitem(ENCODERS, "resnet50_v1c", Variant(lambda drop_path: ResNet(shallow)))
    monkeypatch.setitem(ENCODERS, "resnet101_caffe", Variant(lambda drop_path: ResNet(shallow, caffe=True)))
    network = {"encoder": encoder, "head": head, "channels": 8, "drop_path": 0.1}
    wanted = tiny(
        "daformer",
        {"steps": 2, "network": network, "terms": {"feature_distance": {"classes": ["road"]}}},
    )
    scores = train(wanted, tmp_path, console=QUIET, cpu=True)
    assert scores is not None and 0 <= scores["mean_iou"] <= 1
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert all(math.isfinite(value) for row in rows for value in row.values())
    assert any("feature_distance" in name for name in rows[0])
    loaded, card = load_model(tmp_path / "model")
    assert card.network["encoder"] == encoder
    with torch.no_grad():
        assert loaded(torch.rand(1, 3, 50, 70)).logits.isfinite().all()
