"""How long training waits for pictures, and what it says if that is long."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segue.types import Batch

MUCH = 0.2
"""The share of the time, between two lines of the log, from which on waiting is worth a word."""


class Waiting(Iterator["Batch"]):
    """The batches of an iterator, with the time that was spent waiting for them."""

    def __init__(self, batches: "Iterator[Batch]") -> None:
        self.batches = batches
        self.seconds = 0.0

    def __next__(self) -> "Batch":
        began = time.perf_counter()
        try:
            return next(self.batches)
        finally:
            self.seconds += time.perf_counter() - began

    def spent(self) -> float:
        """The seconds since this was last asked."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds


def advice(share: float) -> str:
    """What to say of a share of the time spent waiting."""
    return (
        f"{100 * share:.0f} % of the time is spent waiting for pictures: read with more processes (--set"
        " data.workers=N, at most as many as there are cores to spare), or store pictures nearer to the size that is"
        " trained on"
    )
