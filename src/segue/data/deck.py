"""Common batches of both domains: a part of the source shuffled with the whole target, each picture once an epoch."""

import math

import torch
from torch import Tensor

from segue.data.sampler import seeded


class Deck:
    """An endless sequence of pictures in which every epoch holds each of them once, in another order.

    The picture at a place follows from the seed and the place alone, so that a run is resumed by starting later.

    Source: the code of CRST: a share of the source is drawn for a round, its pictures and all of the target's are
    shuffled together, and batches are cut from that.

    Args:
        source: The number of source pictures.
        target: The number of target pictures, at least 1.
        share: The share of the source's pictures, rounded down, that takes part.
        seed: Decides which ones, and every order.

    Attributes:
        source: The source's pictures that take part.
    """

    def __init__(self, source: int, target: int, *, share: float, seed: int) -> None:
        self.source: list[int] = _shuffled(source, f"{seed}/deck")[: share_of(source, share)].tolist()
        self.target = target
        self.seed = seed

    def __len__(self) -> int:
        """The number of pictures in an epoch."""
        return len(self.source) + self.target

    def deal(self, places: range) -> list[tuple[int, int]]:
        """The domain, 0 for the source and 1 for the target, and its picture at each place of the sequence."""
        epochs = {place // len(self) for place in places}
        orders = {epoch: _shuffled(len(self), f"{self.seed}/deck/{epoch}").tolist() for epoch in epochs}
        dealt: list[tuple[int, int]] = []
        for place in places:
            card = orders[place // len(self)][place % len(self)]
            is_target = card >= len(self.source)
            dealt.append((1, card - len(self.source)) if is_target else (0, self.source[card]))
        return dealt


def epoch_steps(source: int, target: int, *, share: float, epochs: int, batch: int) -> int:
    """The steps that deal a deck of these pictures ``epochs`` times, rounded up."""
    return math.ceil(epochs * (share_of(source, share) + target) / batch)


def share_of(count: int, share: float) -> int:
    """A share of a number of pictures, rounded down; 0.07 of 100 is 7, whatever binary fractions make of it."""
    return math.floor(count * share + 1e-9)


def _shuffled(count: int, key: str) -> Tensor:
    return torch.randperm(count, generator=seeded(key))
