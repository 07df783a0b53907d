"""Pseudo-labels, confidence and the share of confident pixels equal the official ones, margins included."""

from pathlib import Path

import torch
from tests.parity import numbers

from segue.ops import mixing, quality


def test_label_and_share_equal_the_official_ones(fixtures_dir: Path) -> None:
    data = numbers(fixtures_dir, "pseudo_label")
    label, confidence = quality.label_and_confidence(data["logits"])
    assert torch.equal(label, data["pseudo_label"].long())
    share = quality.confident_share(confidence, float(data["threshold"]))
    assert float(share) == torch.tensor(float(data["quality"])).item()


def test_margins_lose_their_weight_and_pasted_pixels_regain_it(fixtures_dir: Path) -> None:
    data = numbers(fixtures_dir, "pseudo_label")
    source = data["gt"].squeeze(1).long()
    chosen = torch.zeros(2, 256, dtype=torch.bool)
    for i in range(2):
        chosen[i, data[f"chosen{i}"]] = True
    mask = mixing.class_mask(source, chosen)
    trusted = torch.full(source.shape, float(data["quality"]))
    for name, margins in (("plain", {}), ("crop", {"top": 3 / 24, "bottom": 7 / 24})):
        weight = mixing.paste(mask, torch.ones(source.shape), quality.without_margins(trusted, **margins))
        assert torch.allclose(weight, data[f"{name}/mixed_weight"], atol=1e-7)
        label = mixing.paste(mask, source, data["pseudo_label"].long())
        assert torch.equal(label, data[f"{name}/mixed_label"].squeeze(1).long())


def test_the_share_is_of_the_batch_not_of_the_picture() -> None:
    confidence = torch.zeros(2, 4, 4)
    confidence[0, :2] = 1.0
    assert float(quality.confident_share(confidence, 0.968)) == 0.25


def test_confidence_is_the_highest_probability() -> None:
    logits = torch.randn(2, 5, 3, 3, generator=torch.Generator().manual_seed(0)) * 10
    label, confidence = quality.label_and_confidence(logits)
    highest, where = logits.softmax(1).max(1)
    assert torch.equal(label, where)
    assert torch.allclose(confidence, highest, atol=1e-6)
