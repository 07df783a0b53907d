"""Resizing leaves what fits alone, and a shrunken label is each cell's majority, as in DAFormer's code."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tests.parity import numbers

from segue.ops.resize import fitted, resize, resize_nearest, shrink_label
from segue.types import IGNORE


@pytest.mark.parametrize("resize", [resize, resize_nearest])
def test_a_size_that_fits_costs_nothing(resize):
    maps = torch.rand(1, 2, 3, 4)
    assert resize(maps, (3, 4)) is maps
    assert resize(maps, (6, 5)).shape == (1, 2, 6, 5)


def test_bilinear_enlargement_does_not_align_corners():
    assert resize(torch.tensor([[[[0.0, 4.0]]]]), (1, 4)).flatten().tolist() == [0, 1, 3, 4]


def test_majority_by_hand():
    label = torch.tensor([[[1, 1, 2, IGNORE], [1, 0, IGNORE, IGNORE]]])
    assert shrink_label(label, (1, 2), num_classes=3, min_share=0.75).tolist() == [[[1, IGNORE]]]
    assert shrink_label(label, (1, 2), num_classes=3, min_share=0.76).tolist() == [[[IGNORE, IGNORE]]]


def test_ignored_pixels_vote():
    label = torch.tensor([[[2, IGNORE, IGNORE, 2, 2, IGNORE]]])
    assert shrink_label(label, (1, 2), num_classes=3, min_share=0.0).tolist() == [[[IGNORE, 2]]]


def test_sizes_that_do_not_divide():
    label = torch.zeros(2, 33, 47, dtype=torch.uint8)
    shrunken = shrink_label(label, (2, 3), num_classes=2)
    assert shrunken.dtype == torch.uint8
    assert shrunken.eq(0).all()


def test_equals_the_average_of_a_one_hot_map():
    label = torch.randint(0, 5, (2, 24, 16))
    label[label == 4] = IGNORE
    one_hot = F.one_hot(label.clamp(max=4), 5).permute(0, 3, 1, 2).double()
    share, winner = F.avg_pool2d(one_hot, 8).max(dim=1)
    expected = torch.where((share < 0.3) | (winner == 4), IGNORE, winner)
    assert torch.equal(shrink_label(label, (3, 2), num_classes=4, min_share=0.3), expected)


@pytest.mark.parametrize("percent", [25, 50, 75])
def test_equals_daformer(fixtures_dir: Path, percent):
    data = numbers(fixtures_dir, "feature_distance")
    label = data["label"][:, 0].long()
    shrunken = shrink_label(label, (4, 5), num_classes=19, min_share=percent / 100)
    assert torch.equal(shrunken, data[f"things{percent:03}/downscaled"][:, 0].long())


@pytest.mark.parametrize(
    ("size", "box", "expected"),
    [
        ((1052, 1914), (720, 1280), (704, 1280)),  # GTA5 in DAFormer
        ((1052, 1914), (1440, 2560), (1407, 2560)),  # GTA5 in HRDA
        ((760, 1280), (760, 1280), (760, 1280)),
        ((1914, 1052), (720, 1280), (1280, 704)),
        ((1, 500), (10, 10), (1, 10)),
    ],
)
def test_fitted_sizes(size: tuple[int, int], box: tuple[int, int], expected: tuple[int, int]) -> None:
    assert fitted(size, box) == expected
