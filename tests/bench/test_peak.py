"""The peak of a piece of work is its own: not the size of the process that asked for it."""

import torch

from segue.bench.measure import peak_mib

MIB = 2**20


def fill(mebibytes: int, device: torch.device) -> None:
    torch.ones(mebibytes * MIB, dtype=torch.uint8, device=device)


def test_a_peak_is_what_the_work_needs_and_not_its_large_parent() -> None:
    ballast = torch.ones(1024 * MIB, dtype=torch.uint8)
    small, large = peak_mib(fill, 1), peak_mib(fill, 300)
    assert small < ballast.numel() / MIB, "the mark is the parent's"
    assert 250 < large - small < 350
