"""How confidently each class is predicted in a whole data set, in memory that does not grow with it."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from segue.ops.balance import BINS, binned, class_thresholds, ranked_thresholds, thresholds_of_bins
from segue.ranks import of_all_ranks, sum_over_ranks

EXACT = 2**24
"""Confidences up to which each one is kept, so that thresholds are exactly the official ones; more are only counted."""


class Confidences:
    """The confidence of every n-th pixel of each class, and the number of all its pixels.

    Few are kept as they are. Once they are many, only their histogram is, of 16 MB for 19 classes, by which a threshold
    is right to 1/2048 of its distance from 0 or 1, whichever is nearer.

    Source: CBST and CRST, whose code takes every fourth pixel of a class of a picture, row by row.

    Args:
        every: The n.
        exact: See :data:`EXACT`; over all processes.

    Attributes:
        pixels: How many pixels are predicted as each class.
    """

    def __init__(self, classes: int, *, every: int = 4, exact: int = EXACT) -> None:
        self.every = every
        self.exact = exact
        self.pixels: Int64[Tensor, " k"] = torch.zeros(classes, dtype=torch.int64)
        self.kept: list[list[Tensor]] | None = [[] for _ in range(classes)]
        self.counts: Int64[Tensor, "k bins"] | None = None
        self.total = 0

    def add(self, confidence: Float[Tensor, " n"], label: Int64[Tensor, " n"]) -> None:
        """Add the pixels of a picture, row by row."""
        self.pixels += torch.bincount(label, minlength=len(self.pixels))
        own = [confidence[label == place][:: self.every] for place in range(len(self.pixels))]
        self.total += sum(map(len, own))
        if self.kept is not None:
            for values, more in zip(self.kept, own, strict=True):
                values.append(more)
            if self.total > self.exact:
                self._count()
        else:
            self._add_counts(own)

    def join(self) -> None:
        """Join what all processes have added: from here on each has all of it."""
        totals = of_all_ranks(self.total)
        if len(totals) == 1:
            return
        self.total = sum(totals)
        self.pixels = sum_over_ranks(self.pixels)
        if self.total > self.exact:
            self._count()
            assert self.counts is not None
            self.counts = sum_over_ranks(self.counts)
        else:
            everybody = of_all_ranks(self.values())
            self.kept = [list(parts) for parts in zip(*everybody, strict=True)]

    def values(self) -> list[Float[Tensor, " _"]]:
        """The confidences of each class, as long as they are kept."""
        assert self.kept is not None, "they are few"
        return [torch.cat(values) if values else torch.zeros(0) for values in self.kept]

    def thresholds(self, portion: float) -> Float[Tensor, " k"]:
        """See :func:`segue.ops.balance.class_thresholds`."""
        if self.counts is not None:
            return thresholds_of_bins(self.counts, portion)
        return class_thresholds(self.values(), portion)

    def ranked_thresholds(self, *, left_out: float, ceiling: float) -> Float[Tensor, " k"]:
        """See :func:`segue.ops.balance.ranked_thresholds`."""
        if self.counts is not None:
            return thresholds_of_bins(self.counts, 1 - left_out).clamp(max=ceiling)
        return ranked_thresholds(self.values(), left_out=left_out, ceiling=ceiling)

    def _count(self) -> None:
        """From here on only count."""
        if self.kept is not None:
            values = self.values()
            self.kept = None
            self.counts = torch.zeros(len(values), BINS, dtype=torch.int64)
            self._add_counts(values)

    def _add_counts(self, own: list[Tensor]) -> None:
        assert self.counts is not None
        for counts, values in zip(self.counts, own, strict=True):
            counts += torch.bincount(binned(values), minlength=BINS)
