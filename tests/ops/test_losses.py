"""Losses: hand-worked numbers, ignored pixels, empty masks, and DAFormer's feature distance."""

import math
from pathlib import Path

import pytest
import torch
from tests.parity import numbers

from segue.ops import losses
from segue.ops.resize import shrink_label

THINGS = [6, 7, 11, 12, 13, 14, 15, 16, 17, 18]


def test_cross_entropy_of_two_pixels_by_hand() -> None:
    """Logits (0, ln 3): probabilities 1/4 and 3/4; the losses of classes 0 and 1 are ln 4 and ln 4/3."""
    logits = torch.tensor([0.0, math.log(3.0)]).view(1, 2, 1, 1).expand(1, 2, 1, 3)
    loss = losses.cross_entropy(logits, torch.tensor([[[0, 1, 255]]]))
    assert torch.allclose(loss, torch.tensor([[[math.log(4.0), math.log(4.0 / 3.0), 0.0]]]))


def test_ignored_pixels_get_no_gradient() -> None:
    logits = torch.zeros(1, 3, 1, 2, requires_grad=True)
    losses.cross_entropy(logits, torch.tensor([[[255, 1]]])).sum().backward()
    assert logits.grad is not None
    assert float(logits.grad[..., 0].abs().max()) == 0.0
    assert float(logits.grad[..., 1].abs().max()) > 0.0


def test_float16_logits_are_summed_in_float32() -> None:
    loss = losses.cross_entropy(
        torch.zeros(1, 2, 1, 1, dtype=torch.float16), torch.zeros(1, 1, 1, dtype=torch.long)
    )
    assert loss.dtype == torch.float32


@pytest.mark.parametrize(("name", "share"), [("things075", 0.75), ("things050", 0.5), ("things025", 0.25)])
def test_feature_distance_equals_the_official_one(fixtures_dir: Path, name: str, share: float) -> None:
    data = numbers(fixtures_dir, "feature_distance")
    features = data["feat"].clone().requires_grad_()
    cells = shrink_label(data["label"].squeeze(1).long(), (4, 5), num_classes=19, min_share=share)
    assert torch.equal(cells, data[f"{name}/downscaled"].squeeze(1).long())
    mask = torch.isin(cells, torch.tensor(THINGS))
    loss = 0.005 * losses.masked_mean(losses.feature_distance(features, data["feat_imnet"]), mask)
    loss.backward()
    assert torch.allclose(loss, data[f"{name}/loss"], rtol=1e-5)
    assert features.grad is not None
    assert torch.allclose(features.grad, data[f"{name}/grad"], rtol=1e-4, atol=1e-9)


def test_an_empty_mask_gives_zero_with_a_gradient() -> None:
    """The official code gives NaN here; the fixture records that."""
    values = torch.ones(2, 3, requires_grad=True)
    loss = losses.masked_mean(values, torch.zeros(2, 3, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert values.grad is not None
    assert float(values.grad.abs().max()) == 0.0
