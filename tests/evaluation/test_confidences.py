"""Confidences are kept while they are few and counted when they are many; two processes find what one does."""

from pathlib import Path

import pytest
import torch
from tests.processes import POSIX, on_two
from torch import Tensor

from segue import ranks
from segue.evaluation.confidences import Confidences
from segue.ops.balance import BINS, binned, class_thresholds

PICTURES = 6
MANY = 100


def picture(number: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(number)
    return torch.rand(500, generator=generator), torch.randint(0, 3, (500,), generator=generator)


def gathered(exact: int, numbers: range = range(PICTURES)) -> Confidences:
    found = Confidences(4, every=2, exact=exact)
    for number in numbers:
        found.add(*picture(number))
    found.join()
    return found


def test_counting_gives_the_same_thresholds_to_a_bin() -> None:
    kept, counted = gathered(10**6), gathered(MANY)
    assert kept.counts is None and counted.kept is None
    assert counted.counts is not None and counted.counts.shape == (4, BINS)
    assert kept.pixels.tolist() == counted.pixels.tolist() and sum(kept.pixels.tolist()) == 500 * PICTURES
    assert int(counted.counts.sum()) == kept.total == sum(map(len, kept.values()))
    assert torch.equal(kept.thresholds(0.2), class_thresholds(kept.values(), 0.2))
    assert torch.equal(binned(kept.thresholds(0.2)), binned(counted.thresholds(0.2)))
    assert float(kept.thresholds(0.2)[3]) == 1.0  # a class that is nowhere predicted


def share(rank: int, folder: Path) -> None:
    ranks.join(cpu=True)
    for exact in (10**6, MANY, 1000):  # 1000: too many together, few on each
        found = gathered(exact, range(rank, PICTURES, 2))
        torch.save((found.thresholds(0.2), found.pixels, found.counts is None), folder / f"{rank}-{exact}.pt")


@pytest.mark.slow
@POSIX
def test_two_processes_find_what_one_does(tmp_path: Path) -> None:
    on_two(share, tmp_path)
    for exact in (10**6, MANY, 1000):
        alone = gathered(exact)
        for rank in (0, 1):
            thresholds, pixels, are_kept = torch.load(tmp_path / f"{rank}-{exact}.pt")
            assert torch.equal(thresholds, alone.thresholds(0.2)) and pixels.tolist() == alone.pixels.tolist()
            assert are_kept == (alone.counts is None)
