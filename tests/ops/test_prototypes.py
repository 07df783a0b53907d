"""Prototypes: distances, nearness, class means, running means and both losses are those of ProDA's code; the oracles of
its rules hold, and labels of which a third are wrong are put right."""

import math
from pathlib import Path

import pytest
import torch
from tests.parity import numbers
from torch import Tensor

from segue.ops.losses import cross_entropy, reverse_cross_entropy
from segue.ops.prototypes import class_means, denoised_label, distances, follow, nearness
from segue.types import IGNORE

ALL = torch.ones(7, dtype=torch.bool)


@pytest.fixture(scope="module")
def official(fixtures_dir: Path) -> dict[str, Tensor]:
    return numbers(fixtures_dir, "proda_pieces")


def test_distance_and_nearness(official: dict[str, Tensor]) -> None:
    apart = distances(official["pieces/feature"], official["prototypes"], ALL)
    assert torch.allclose(apart, official["pieces/distance"], rtol=1e-5)
    for temperature in (0.5, 1.0, 3.0):
        near = nearness(apart, temperature)
        assert torch.allclose(near, official[f"pieces/weight_temperature{temperature}"], rtol=1e-4, atol=1e-7)
        assert torch.allclose(near.sum(1), torch.ones(()), atol=1e-5)


@pytest.mark.parametrize("name", ["rce", "ce"])
def test_both_directions_of_the_loss(official: dict[str, Tensor], name: str) -> None:
    logits = official["pieces/logits"].clone().requires_grad_()
    label = official["pieces/label_250"].long()
    label = label.masked_fill(label == 250, IGNORE)
    pixel = reverse_cross_entropy if name == "rce" else cross_entropy
    loss = pixel(logits, label).sum() / (label != IGNORE).sum()
    loss.backward()
    assert float(loss.detach()) == pytest.approx(float(official[f"pieces/{name}/loss"]), rel=1e-5)
    assert logits.grad is not None
    assert torch.allclose(logits.grad, official[f"pieces/{name}/grad"], rtol=1e-3, atol=1e-7)


def test_the_reverse_loss_is_bounded() -> None:
    wrong = torch.tensor([[40.0], [0.0]])[None, ..., None]
    label = torch.ones(1, 1, 1, dtype=torch.int64)
    assert float(reverse_cross_entropy(wrong, label)) == pytest.approx(-math.log(1e-4), rel=1e-5)


def seen(official: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    label = official["pieces/logits"].argmax(1)
    return class_means(official["pieces/feature"], label, classes=7, least=10)


def test_class_means_of_pictures(official: dict[str, Tensor]) -> None:
    means, found = seen(official)
    assert found.nonzero()[:, 1].tolist() == official["pieces/class_mean_all/image_order_classes"].tolist()
    assert torch.allclose(means[found], official["pieces/class_mean_all/vectors"], rtol=1e-4, atol=1e-6)


def test_prototypes_are_exact_means_and_then_moving_ones(official: dict[str, Tensor]) -> None:
    means, found = seen(official)
    prototypes, counts = torch.zeros(7, 12), torch.zeros(7)
    for factor in (1, 2, 3):
        follow(prototypes, counts, factor * means, found, momentum=0.05)
    assert torch.equal(counts, official["pieces/running_mean_counts"])
    assert torch.allclose(prototypes, official["pieces/running_mean_after_3_passes"], rtol=1e-4, atol=1e-6)
    follow(prototypes, counts, means, found, momentum=0.05, exact=0)
    assert torch.allclose(prototypes, official["pieces/then_moving_average"], rtol=1e-4, atol=1e-6)


def test_a_class_without_evidence_stays_and_attracts_nothing() -> None:
    prototypes, counts = torch.rand(3, 4), torch.tensor([5.0, 200.0, 0.0])
    before = prototypes.clone()
    follow(prototypes, counts, torch.ones(1, 3, 4), torch.tensor([[False, True, False]]), momentum=0.1)
    assert torch.equal(prototypes[[0, 2]], before[[0, 2]]) and counts.tolist() == [5, 201, 0]
    assert torch.allclose(prototypes[1], 0.9 * before[1] + 0.1)
    apart = distances(
        torch.zeros(1, 4, 2, 2), torch.stack([torch.ones(4), 2 * torch.ones(4), torch.zeros(4)]), counts > 0
    )
    assert torch.equal(apart[:, 2], apart[:, 1]) and bool((apart[:, 0] < apart[:, 1]).all())
    assert bool(distances(torch.zeros(1, 4, 2, 2), prototypes, counts > 999).isfinite().all())


def test_equal_distances_leave_the_label_and_sharp_ones_decide_it() -> None:
    torch.manual_seed(0)
    probability = torch.rand(2, 5, 6, 6).softmax(1)
    equal = nearness(torch.ones(2, 5, 6, 6), 1.0)
    assert torch.equal(denoised_label(probability, equal), probability.argmax(1))
    apart = torch.rand(2, 5, 6, 6)
    assert torch.equal(denoised_label(probability, nearness(apart, 1e4)), apart.argmin(1))
    kept = denoised_label(probability, equal, threshold=0.99)
    assert bool((kept == IGNORE).all())


def test_two_clusters_put_wrong_labels_right() -> None:
    """Three in ten soft labels say the other class; nine in ten are right afterwards."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 2, (1, 40, 40), generator=generator)
    centre = torch.tensor([[-2.0, 0.0], [2.0, 0.0]])
    features = centre[truth].permute(0, 3, 1, 2) + 0.5 * torch.randn(1, 2, 40, 40, generator=generator)
    is_wrong = torch.rand(1, 40, 40, generator=generator) < 0.3
    said = torch.where(is_wrong, 1 - truth, truth)
    probability = torch.full((1, 2, 40, 40), 0.2).scatter_(1, said[:, None], 0.8)
    means, found = class_means(features, said, classes=2, least=10)
    prototypes, counts = torch.zeros(2, 2), torch.zeros(2)
    follow(prototypes, counts, means, found, momentum=1e-4)
    near = nearness(distances(features, prototypes, counts > 0), 1.0)
    right = (denoised_label(probability, near) == truth).float().mean()
    assert float((said == truth).float().mean()) < 0.75 and float(right) >= 0.9
