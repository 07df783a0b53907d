"""Lines of a benchmark: ours, a peer's, and the ratio."""

import statistics
from collections.abc import Sequence
from typing import NotRequired, TypedDict


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
