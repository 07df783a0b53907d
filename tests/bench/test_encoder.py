"""The encoder benchmark compares networks of the same size and names its rows as promised."""

import pytest
import torch

from segue.bench import encoder
from segue.models.build import build_encoder


@pytest.mark.slow
def test_rows(monkeypatch):
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
