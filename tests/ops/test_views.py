"""Several views of a picture: predictions, thresholds, prior and weights are SAC's; maps come back from where they were
moved; the oracles of its rules hold."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tests.parity import numbers
from torch import Tensor

from segue.ops.losses import cross_entropy
from segue.ops.views import adaptive_label, joined_views, moved_prior, rarity, zeroed
from segue.ops.warp import inverse, sheared_turned_or_moved, visible, warped, zoomed
from segue.types import IGNORE

BETA, SHARE, LOWEST = 1e-3, 0.75, 0.2


@pytest.fixture(scope="module")
def official(fixtures_dir: Path) -> dict[str, Tensor]:
    return numbers(fixtures_dir, "sac_labels")


def geometry(official: dict[str, Tensor]) -> Tensor:
    down, across, _, zoom, sign = official["geometry/params_dy_dx_angle_scale_flip"].unbind(1)
    moved = zoomed(zoom, sign < 0)
    moved[:, :, 2] -= zoom[:, None] * torch.stack([across / 8, down / 6], 1)  # half of 12 x 16 pixels
    return moved


def test_views_lie_where_the_official_ones_do(official: dict[str, Tensor]) -> None:
    assert torch.allclose(geometry(official), official["geometry/affine"], atol=1e-6)
    assert torch.allclose(inverse(geometry(official)), official["geometry/affine_inverse"], atol=1e-5)


def test_views_from_one_place_are_averaged(official: dict[str, Tensor]) -> None:
    still = torch.eye(2, 3).expand(8, 2, 3)
    probability = official["labels/probabilities"]
    found = joined_views(probability, still, still, views=4)
    mean = probability.unflatten(0, (2, 4)).mean(1).repeat_interleave(4, 0)
    assert torch.allclose(found, mean, atol=1e-5)
    # A view without content there does not count.
    valid = torch.arange(8)[:, None, None].expand(8, 12, 16) % 4 > 0
    alone = joined_views(zeroed(probability, valid), still, still, views=4)
    assert torch.allclose(alone[0], probability[1:4].mean(0), atol=1e-5)


def test_moved_views_are_averaged_where_all_are_seen(official: dict[str, Tensor]) -> None:
    """The official code weighs a view by a mask that was moved the other way; where all count alike, they agree."""
    valid = ~official["labels/padding"].bool()
    probability = zeroed(official["labels/probabilities"], valid)
    to_picture = geometry(official)
    found = joined_views(probability, to_picture, inverse(to_picture), views=4)
    middle = (0, slice(None), slice(3, 9), slice(3, 13))  # of the first view, which is the picture itself
    assert torch.allclose(found[middle], official["refine/warped/avg_pool"][middle], atol=1e-5)
    # Elsewhere, by the official weights:
    mask = warped(torch.ones_like(probability[:, :1]), inverse(to_picture))
    together = (warped(probability, to_picture) * mask).unflatten(0, (2, 4)).sum(1)
    mean = together / together.sum(1, keepdim=True).clamp(min=1e-3)
    assert torch.allclose(mean[1], official["refine/warped/avg_pool"][1], atol=1e-5)


@pytest.mark.parametrize("name", ["discounted", "plain"])
def test_labels_are_the_official_ones(official: dict[str, Tensor], name: str) -> None:
    prior = official["labels/running_conf"] if name == "discounted" else torch.ones(6)
    label, sure = adaptive_label(
        official["labels/probabilities"], prior, scale=BETA, lowest=LOWEST, share=SHARE
    )
    label = label.masked_fill(official["labels/padding"].bool(), IGNORE)
    assert torch.equal(sure, official["labels/confidence"][:, 0])
    assert torch.equal(label.to(torch.uint8), official[f"labels/{name}/label"])


def test_the_prior_moves_as_the_official_one(official: dict[str, Tensor]) -> None:
    prior = torch.full((6,), BETA)
    for number in range(5):
        mean = official[f"prior/probabilities{number}"].mean((0, 2, 3))
        prior = moved_prior(prior, mean, start=BETA, momentum=0.99)
        assert torch.allclose(prior, official[f"prior/after{number}"], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("confidence", ["view", "batch"])
def test_the_loss_is_the_official_one(official: dict[str, Tensor], confidence: str) -> None:
    logits = official["student_logits"].clone().requires_grad_()
    label = official["labels/discounted/label"].long()
    large = F.interpolate(logits, label.shape[-2:], mode="bilinear", align_corners=True)
    sure = official["labels/confidence"][:, 0]
    if confidence == "batch":
        sure = sure.mean(0, keepdim=True).expand_as(sure)
    focal = rarity(label, official["labels/running_conf"], exponent=3.0)
    loss = (sure * focal * cross_entropy(large, label)).mean()
    name = "pixelwise_product" if confidence == "view" else "focal_ce_conf_p3/loss"
    assert float(loss.detach()) == pytest.approx(float(official[f"loss/{name}"]), rel=1e-5)
    if confidence == "batch":
        loss.backward()
        assert logits.grad is not None
        assert torch.allclose(logits.grad, official["loss/focal_ce_conf_p3/grad"], rtol=1e-4, atol=1e-8)


def test_thresholds_of_rare_and_of_usual_classes() -> None:
    """Nearly unseen: the lowest threshold; well known: the share of the peak."""
    probability = torch.zeros(1, 2, 1, 3)
    probability[0, 0] = torch.tensor([0.9, 0.6, 0.3])
    rare, usual = (
        adaptive_label(probability, torch.tensor([prior, 0.5]), scale=BETA, lowest=LOWEST, share=SHARE)[0]
        for prior in (1e-9, 0.5)
    )
    assert rare.tolist() == [[[0, 0, 0]]] and usual.tolist() == [[[0, IGNORE, IGNORE]]]


def test_a_class_that_is_never_seen_decays_and_then_moves_slowly() -> None:
    prior = torch.full((2,), BETA)
    for _ in range(10):
        prior = moved_prior(prior, torch.tensor([0.0, 0.5]), start=BETA, momentum=0.99)
    assert float(prior[0]) == pytest.approx(BETA * 0.99**10) and float(prior[1]) == pytest.approx(0.5)
    later = moved_prior(prior, torch.tensor([0.5, 0.5]), start=BETA, momentum=0.99)
    assert float(later[0]) == pytest.approx(0.99 * BETA * 0.99**10 + 0.005)


@pytest.mark.parametrize("kind", range(6))
def test_what_is_moved_comes_back(kind: int) -> None:
    torch.manual_seed(0)
    affine = sheared_turned_or_moved(
        torch.full((2,), (kind + 0.5) / 6), torch.tensor([0.7, -1.0]), torch.tensor([True, False])
    )
    row, column = torch.meshgrid(torch.linspace(0, 1, 48), torch.linspace(0, 1, 64), indexing="ij")
    maps = torch.stack([row, column, row * column])[None].repeat(2, 1, 1, 1)
    back = warped(warped(maps, affine), inverse(affine))
    inside = visible(torch.ones(2, 48, 64, dtype=torch.bool), inverse(affine))
    inner = torch.zeros_like(inside)
    inner[:, 12:36, 16:48] = True
    assert bool(inside[inner].all())
    assert float((back - maps).abs().amax(1)[inner].max()) < 0.02
    still = kind == 0
    assert torch.allclose(warped(maps, affine)[1], maps[1], atol=1e-5) == still


def test_a_mirror_image_is_one() -> None:
    maps = torch.rand(1, 2, 8, 12)
    assert torch.allclose(warped(maps, zoomed(torch.ones(1), torch.tensor([True]))), maps.flip(-1), atol=1e-5)
    smaller = visible(
        torch.ones(1, 8, 12, dtype=torch.bool), inverse(zoomed(torch.full((1,), 0.5), torch.tensor([False])))
    )
    assert int(smaller.sum()) == 4 * 6 and bool(smaller[0, 2:6, 3:9].all())
    assert math.isclose(
        float(warped(maps, inverse(zoomed(torch.full((1,), 0.5), torch.tensor([False]))))[0, 0, 0, 0]), 0
    )
