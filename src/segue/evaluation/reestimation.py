"""Estimating a trained network's batch statistics again, on unlabelled pictures; its weights stay as they are."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from segue.evaluation.model import TrainedModel
from segue.evaluation.pictures import Pictures, evenly
from segue.evaluation.predictors import predictor_of
from segue.evaluation.read_ahead import read_ahead
from segue.models.batch_norms import BatchNorm, batch_norms, of_target
from segue.ranks import own_share, sum_over_ranks
from segue.types import Output

ENOUGH = 500
"""The number of pictures after which a mean over all their pixels hardly moves any more."""


def reestimate(
    model: TrainedModel,
    pictures: Pictures,
    *,
    at_once: int = 4,
    most: int = ENOUGH,
) -> int:
    """Give all batch norms of a model the statistics of these pictures, seen as evaluation sees them.

    Pictures are fitted and cut into windows as the card says, but neither mirrored nor scaled, and always in float32:
    the statistics belong to the network, not to one way of scoring it. A few pictures go through the network at once,
    normalised by their own batch. Each batch is seen by one process, and all end with the same statistics.

    Source: AdaBN (Li et al., 2016, https://arxiv.org/abs/1603.04779), algorithm 1, with cumulative means (momentum
    None in torch's words).

    Note:
        Sums and sums of squares are pooled, so that a norm's variance is that over all pixels, not the mean of the
        batches' variances: it includes the differences between batches. The first norm's statistics do not depend on
        how pictures are batched; deeper norms see activations that were normalised by their batch, and are exact only
        if one batch holds all pictures.

    Args:
        model: The statistics of its batch norms change, and so does ``batch_statistics``.
        at_once: Pictures in one pass, as long as neighbours have the same size.
        most: The largest number of pictures, taken evenly.

    Returns:
        The number of pictures seen; 0 for a network without batch norms.

    Raises:
        ValueError: If a norm sees a single value, as one behind global pooling does of a single picture.
    """
    network, norms = model.network, batch_norms(model.network)
    if not norms:
        return 0
    chosen = evenly(len(pictures), most)
    batches = _evenly_cut(chosen, -(-len(chosen) // at_once))
    how = replace(model.card.prediction, flip=False, scales=(1.0,), precision="float32")
    predict = predictor_of(_ByBatch(network, norms), how)
    moments = _Moments(norms)

    def read(place: int) -> list[UInt8[Tensor, "3 h w"]]:
        return [pictures.image(index) for index in batches[place]]

    with moments.gathering():
        for _, images in read_ahead(read, own_share(len(batches))):
            for same in _of_one_size(images):
                predict(model.normalised(same))
                moments.add()
    moments.total()
    moments.write()
    model.batch_statistics = of_target(len(chosen))
    return len(chosen)


class _ByBatch(nn.Module):
    """A network in evaluation mode, except that its batch norms normalise by the batch."""

    def __init__(self, network: nn.Module, norms: Sequence[BatchNorm]) -> None:
        super().__init__()
        self.network = network
        self._norms = norms

    def train(self, mode: bool = True) -> "_ByBatch":
        super().train(False)
        for norm in self._norms:
            norm.train()
        return self

    def forward(self, image: Tensor) -> Output:
        return self.network(image)


class _Moments:
    """For each norm, the number of values, their sums and the sums of their squares, channel by channel.

    A norm in training mode computes its batch's mean and variance anyway; with a momentum of 1 they are left in its
    running statistics.
    """

    def __init__(self, norms: Sequence[BatchNorm]) -> None:
        self.norms = norms
        widths = [norm.num_features for norm in norms]
        self.counts = torch.zeros(len(norms), dtype=torch.float64)
        self.sums = list(torch.zeros(sum(widths), dtype=torch.float64).split(widths))
        self.squares = list(torch.zeros(sum(widths), dtype=torch.float64).split(widths))
        self._seen: list[tuple[int, int, Tensor]] = []

    @contextmanager
    def gathering(self) -> Generator[None]:
        """Note what goes through the norms; afterwards only their means and variances have changed."""
        momenta = [norm.momentum for norm in self.norms]
        counters = [cast(Tensor, norm.num_batches_tracked).clone() for norm in self.norms]
        handles = [norm.register_forward_hook(self._noting(place)) for place, norm in enumerate(self.norms)]
        for norm in self.norms:
            norm.momentum = 1.0
        try:
            yield
        finally:
            for norm, momentum, counter, handle in zip(self.norms, momenta, counters, handles, strict=True):
                handle.remove()
                norm.momentum = momentum
                cast(Tensor, norm.num_batches_tracked).copy_(counter)

    def add(self) -> None:
        """Add what was noted, with a single copy to the host."""
        together = torch.cat([values for _, _, values in self._seen]).cpu().double()
        pieces = together.split([len(values) for _, _, values in self._seen])
        for (place, count, _), piece in zip(self._seen, pieces, strict=True):
            mean, variance = piece.chunk(2)
            self.counts[place] += count
            self.sums[place] += count * mean
            self.squares[place] += (count - 1) * variance + count * mean.square()
        self._seen.clear()

    def total(self) -> None:
        """Sum over all processes."""
        parts = [self.counts, *self.sums, *self.squares]
        summed = sum_over_ranks(torch.cat(parts))
        for part, value in zip(parts, summed.split([len(part) for part in parts]), strict=True):
            part.copy_(value)

    def write(self) -> None:
        """Give the norms the mean and the unbiased variance over all values."""
        for norm, count, total, squares in zip(self.norms, self.counts, self.sums, self.squares, strict=True):
            if not count:
                continue  # a layer that evaluation does not use keeps what it has
            mean = total / count
            variance = (squares - count * mean.square()).clamp(min=0) / (count - 1)
            for own, value in zip(_running(norm), (mean, variance), strict=True):
                own.copy_(value)

    def _noting(self, place: int) -> Callable[[nn.Module, Any, Tensor], None]:
        def note(norm: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> None:
            values = result.numel() // result.shape[1]
            self._seen.append((place, values, torch.cat(_running(cast(BatchNorm, norm))).float()))

        return note


def _evenly_cut(items: list[int], parts: int) -> list[list[int]]:
    """Consecutive parts whose lengths differ by at most one, so that the last one is not left with a single item."""
    bounds = [part * len(items) // parts for part in range(parts + 1)]
    return [items[start:end] for start, end in pairwise(bounds)]


def _running(norm: BatchNorm) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None and norm.running_var is not None, (
        "batch_norms gives those that have them"
    )
    return norm.running_mean, norm.running_var


def _of_one_size(images: Sequence[UInt8[Tensor, "3 h w"]]) -> Iterator[UInt8[Tensor, "b 3 h w"]]:
    """The pictures in order, stacked as long as neighbours have the same size."""
    start = 0
    for end in range(1, len(images) + 1):
        if end == len(images) or images[end].shape != images[start].shape:
            yield torch.stack(list(images[start:end]))
            start = end
