"""MCC, reversal and CDAN's maps: the official numbers, and what they must be by their definitions."""

from pathlib import Path

import pytest
import torch
from tests.parity import numbers
from torch import Tensor

from segue.ops.class_confusion import certainty_weight, class_confusion
from segue.ops.reversal import multilinear_map, randomised_map, reversed_gradient, warm_start


@pytest.fixture(scope="module")
def official(fixtures_dir: Path) -> dict[str, Tensor]:
    return numbers(fixtures_dir, "smooth_adversarial")


@pytest.mark.parametrize("temperature", [1.0, 2.0, 2.5, 3.0])
def test_confusion_and_its_gradient_are_the_official_ones(
    official: dict[str, Tensor], temperature: float
) -> None:
    logits = official["mcc/logits"].clone().requires_grad_()
    loss = class_confusion(logits, temperature)
    (slope,) = torch.autograd.grad(loss, logits)
    assert torch.allclose(loss, official[f"mcc/temperature{temperature}/f32/loss"], rtol=1e-5)
    assert torch.allclose(slope, official[f"mcc/temperature{temperature}/f32/grad"], atol=1e-7)


def test_confusion_of_sure_and_of_uniform_predictions() -> None:
    """0 where every class is predicted for sure, 1 - 1/K where nothing is known."""
    assert float(class_confusion(torch.eye(5) * 100, 2.0)) == pytest.approx(0, abs=1e-6)
    assert float(class_confusion(torch.zeros(8, 5), 2.0)) == pytest.approx(1 - 1 / 5)


def test_weights_are_one_on_average_and_larger_for_sure_predictions(official: dict[str, Tensor]) -> None:
    probability = official["mcc/logits"].softmax(1)
    weight = certainty_weight(probability)
    assert float(weight.mean()) == pytest.approx(1)
    expected = 1 + (-official["entropy"]).exp()
    assert torch.allclose(weight, expected / expected.mean(), rtol=1e-5)


def test_reversal_grows_as_the_official_one(official: dict[str, Tensor]) -> None:
    for step, coefficient in zip(
        official["reversal/iteration"], official["reversal/coefficient"], strict=True
    ):
        assert warm_start(int(step), 1000.0) == pytest.approx(float(coefficient), abs=1e-12)


def test_a_reversed_gradient_is_minus_the_strength_times_it() -> None:
    value = torch.randn(3, 4, requires_grad=True)
    factor = torch.randn(3, 4)
    assert torch.equal(reversed_gradient(value, 0.3), value)
    (slope,) = torch.autograd.grad((reversed_gradient(value, 0.3) * factor).sum(), value)
    assert torch.allclose(slope, -0.3 * factor)


def test_the_multilinear_map_of_a_sure_class_is_a_copy_of_the_features_in_its_block(
    official: dict[str, Tensor],
) -> None:
    features = torch.randn(2, 4)
    shown = multilinear_map(torch.eye(3)[[2, 0]], features).view(2, 3, 4)
    assert torch.equal(shown[0, 2], features[0]) and torch.equal(shown[1, 0], features[1])
    assert int(shown.count_nonzero()) == 8
    logits, both = (
        torch.cat([official[f"cdan/{kind}_source"], official[f"cdan/{kind}_target"]])
        for kind in ("logits", "feature")
    )
    assert torch.allclose(
        multilinear_map(logits.softmax(1), both), official["cdan/multilinear_map"], atol=1e-6
    )
    matrices = (official["cdan/random_class_matrix"], official["cdan/random_feature_matrix"])
    found = randomised_map(logits.softmax(1), both, matrices=matrices)
    assert torch.allclose(found, official["cdan/randomised_map"], atol=1e-6)
