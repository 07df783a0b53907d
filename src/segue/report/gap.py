"""The gap between source-only and oracle, and how much of it adaptation closed, laid out for drawing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segue.report.lineup import Entry
from segue.report.reading import number

MARGIN = 10.0
"""Percent of the drawing's width kept free at both ends, for the labels."""

CLOSE = 30.0
"""Labels on one side of the scale nearer than this, in percent of the width, go under one another."""


@dataclass(frozen=True)
class Mark:
    """One score on the scale.

    Attributes:
        name: Whose it is.
        value: The mean IoU, in [0, 1].
        x: Where it stands, in percent of the width.
        slot: The run colour's number.
        anchor: How its label is aligned to it, as SVG's text-anchor.
    """

    name: str
    value: float
    x: float
    slot: int
    anchor: str


@dataclass(frozen=True)
class Gap:
    """Three scores on one scale.

    Attributes:
        source_only: The model that never saw the target.
        adapted: The judged model.
        oracle: The model trained with target labels.
        closed: The share of the gap that was closed, negative if it grew; None if there was no gap.
        is_crowded: Whether the outer two stand too near for labels on one line.
    """

    source_only: Mark
    adapted: Mark
    oracle: Mark
    closed: float | None
    is_crowded: bool


def find_gap(entries: Sequence[Entry], summary: Mapping[str, Any] | None) -> Gap | None:
    """Lay the gap out from the summary, or else from the runs; None if one of the three scores is missing."""
    roles = {entry.role: entry for entry in entries}
    baseline, judged, oracle = roles.get("baseline"), roles.get("judged"), roles.get("oracle")
    names = [entry.name if entry else "" for entry in (baseline, judged, oracle)]
    defaults = ("source-only", "adapted", "oracle")
    if summary is not None:
        values = [number(summary.get(key)) for key in ("source_only", "adapted", "oracle")]
        return _lay_out([name or default for name, default in zip(names, defaults, strict=True)], values)
    if baseline is None or not baseline.is_source_only:
        return None
    return _lay_out(names, [entry.mean_iou if entry else None for entry in (baseline, judged, oracle)])


def _lay_out(names: Sequence[str], values: Sequence[float | None]) -> Gap | None:
    known = [value for value in values if value is not None and 0 <= value <= 1]
    if len(known) != 3:
        return None
    low, span = min(known), max(known) - min(known) or 1.0
    xs = [MARGIN + (100 - 2 * MARGIN) * (value - low) / span for value in known]
    source_only, adapted, oracle = (
        Mark(names[i], known[i], round(xs[i], 2), i, _anchor(xs[i])) for i in range(3)
    )
    gap = oracle.value - source_only.value
    closed = (adapted.value - source_only.value) / gap if gap > 0 else None
    return Gap(source_only, adapted, oracle, closed, abs(xs[2] - xs[0]) < CLOSE)


def _anchor(x: float) -> str:
    """Labels near an end grow inwards."""
    if x < 1.5 * MARGIN:
        return "start"
    return "end" if x > 100 - 1.5 * MARGIN else "middle"
