"""The spatial prior is the smoothed, normalised frequency that its definition says, worked out pixel by pixel."""

import math

import pytest
import torch
from torch import Tensor

from segue.ops.prior import count_cells, spatial_prior
from segue.types import IGNORE


def test_cells_hold_the_pixels_that_lie_in_them() -> None:
    label = torch.tensor([[0, 0, 1, 2], [0, 1, 1, IGNORE], [2, 2, 0, 0]], dtype=torch.uint8)
    found = count_cells(label, (3, 2), 3)
    assert found.tolist() == [
        [[2, 0], [1, 0], [0, 2]],
        [[0, 1], [1, 1], [0, 0]],
        [[0, 1], [0, 0], [2, 0]],
    ]
    assert count_cells(label, (1, 1), 3).flatten().tolist() == [5, 3, 3]
    # A grid finer than the label leaves cells empty, and counts every pixel once.
    assert int(count_cells(label, (7, 9), 3).sum()) == 11


def by_hand(counts: Tensor, side: float) -> Tensor:
    """The definition: in each cell, sums over all cells within half the side, weighed by the Gaussian."""
    size, rows, columns = counts.shape
    found = torch.zeros(counts.shape, dtype=torch.float64)
    reach = int(side / 2)
    for row in range(rows):
        for column in range(columns):
            seen = [0.0] * size
            for other_row in range(max(0, row - reach), min(rows, row + reach + 1)):
                for other_column in range(max(0, column - reach), min(columns, column + reach + 1)):
                    distance = (row - other_row) ** 2 + (column - other_column) ** 2
                    weight = math.exp(-distance / (2 * (side / 6) ** 2)) if reach else 1.0
                    for name in range(size):
                        seen[name] += weight * int(counts[name, other_row, other_column])
            for name in range(size):
                found[name, row, column] = seen[name] / sum(seen) if sum(seen) else 0.0
    for name in range(size):
        found[name] /= found[name].sum() or 1.0
    return (found / found.max()).float()


@pytest.mark.parametrize("side", [0.0, 2.0, 5.0])
def test_it_is_the_smoothed_share_of_each_class(side: float) -> None:
    generator = torch.Generator().manual_seed(0)
    counts = torch.randint(0, 9, (4, 6, 8), generator=generator)
    counts[:, 2, 3:6] = 0  # nothing is labelled there
    counts[3] = 0  # a class that never occurs
    found = spatial_prior(counts, side)
    torch.testing.assert_close(found, by_hand(counts, side))
    assert float(found.max()) == 1 and (found[3] == 0).all()
    sums = found[:3].sum((1, 2))
    torch.testing.assert_close(
        sums, sums[:1].expand(3)
    )  # a rare class's map is not lower than a common one's


def test_two_halves() -> None:
    """Sky above, road below, twice as much of it: without smoothing each map is flat in its half and zero outside."""
    counts = torch.zeros(2, 6, 4, dtype=torch.int64)
    counts[0, :2], counts[1, 2:] = 7, 7
    found = spatial_prior(counts, 0.0)
    assert found[0, :2].unique().tolist() == [1.0] and found[1, 2:].unique().tolist() == [0.5]
    assert float(found[0, 2:].sum() + found[1, :2].sum()) == 0


def test_how_often_labels_were_seen_changes_nothing() -> None:
    counts = torch.randint(0, 9, (3, 5, 5))
    torch.testing.assert_close(spatial_prior(counts, 3.0), spatial_prior(1000 * counts, 3.0))
