"""How this project times things: our way and a peer's in turns, in one process, medians."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NotRequired, TypedDict, TypeVar

import torch

T = TypeVar("T")


class Row(TypedDict):
    """One line of a benchmark.

    Attributes:
        name: What was measured.
        value: Our median.
        unit: The unit of both values.
        peer: What it is compared with.
        peer_value: The peer's median.
        ratio: Ours over the peer's: below 1 is cheaper.
        spread: The lowest and the highest ratio of a turn, where there were turns.
    """

    name: str
    value: float
    unit: str
    peer: str
    peer_value: float
    ratio: float
    spread: NotRequired[list[float]]


def in_turns(runs: Mapping[str, Callable[[], T]], *, repeats: int, warm_up: int = 1) -> dict[str, list[T]]:
    """Call several functions in turns, so that a change of the machine's mood meets all of them.

    Args:
        runs: What to call, by name.
        repeats: Calls of each whose results are kept.
        warm_up: Calls of each before those.

    Returns:
        What the calls returned, by name; the same place in two lists is the same turn.
    """
    found: dict[str, list[T]] = {name: [] for name in runs}
    for turn in range(warm_up + repeats):
        # Every other turn runs backwards: nobody always comes after the same neighbour.
        for name in list(runs) if turn % 2 else reversed(list(runs)):
            found[name].append(runs[name]())
    return {name: values[warm_up:] for name, values in found.items()}


def times_ms(
    runs: Mapping[str, Callable[[], object]], *, repeats: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """The time of every call in milliseconds, by name, of functions called in turns; see ``in_turns``."""
    timed = {name: lambda run=run: _time_ms(run) for name, run in runs.items()}
    return in_turns(timed, repeats=repeats, warm_up=warm_up)


def median_ms(
    runs: Mapping[str, Callable[[], object]], *, repeats: int, warm_up: int = 1
) -> dict[str, float]:
    """The median time of a call in milliseconds, by name, of functions called in turns; see ``in_turns``."""
    times = times_ms(runs, repeats=repeats, warm_up=warm_up)
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


def compared(name: str, own: Sequence[float], others: Sequence[float], *, unit: str, peer: str) -> Row:
    """A line of a benchmark from values of the same turns: medians, their ratio, and how far turns differ in it.

    Args:
        name: What was measured.
        own: Ours.
        others: The peer's.
        unit: The unit of both.
        peer: What it is compared with.

    Returns:
        The line.
    """
    line = row(name, statistics.median(own), unit=unit, peer=peer, peer_value=statistics.median(others))
    ratios = [mine / other for mine, other in zip(own, others, strict=True)]
    line["spread"] = [min(ratios), max(ratios)]
    return line


def _time_ms(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - began)
