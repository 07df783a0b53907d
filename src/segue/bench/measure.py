"""How this project times things: our way and a peer's in turns, in one process, medians."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TypedDict

import torch


class Row(TypedDict):
    """One line of a benchmark.

    Attributes:
        name: What was measured.
        value: Our median.
        unit: The unit of both values.
        peer: What it is compared with.
        peer_value: The peer's median.
        ratio: Ours over the peer's: below 1 is cheaper.
    """

    name: str
    value: float
    unit: str
    peer: str
    peer_value: float
    ratio: float


def median_ms(
    runs: Mapping[str, Callable[[], object]], *, repeats: int, warm_up: int = 1
) -> dict[str, float]:
    """Time several functions in turns, so that a change of the machine's mood meets all of them.

    Args:
        runs: What to time, by name.
        repeats: Timed calls of each.
        warm_up: Calls of each that are not timed.

    Returns:
        The median time of a call in milliseconds, by name.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(warm_up + repeats):
        # Every other turn runs backwards: nobody always comes after the same neighbour.
        for name in list(runs) if turn % 2 else reversed(list(runs)):
            began = time.perf_counter()
            runs[name]()
            _wait()
            if turn >= warm_up:
                times[name].append(1000 * (time.perf_counter() - began))
    return {name: statistics.median(values) for name, values in times.items()}


def row(name: str, value: float, *, unit: str, peer: str, peer_value: float) -> Row:
    """A line of a benchmark, with the ratio worked out.

    Args:
        name: What was measured.
        value: Our median.
        unit: The unit of both values.
        peer: What it is compared with.
        peer_value: The peer's median.

    Returns:
        The line.
    """
    return Row(name=name, value=value, unit=unit, peer=peer, peer_value=peer_value, ratio=value / peer_value)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
