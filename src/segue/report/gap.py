"""The gap between source-only and oracle, and how much of it adaptation closed, laid out for drawing."""

from collections.abc import Sequence
from dataclasses import dataclass

from segue.report.roles import ShownRun

MARGIN = 10.0
"""Percent of the drawing's width kept free at both ends, for the labels."""

CLOSE = 30.0
"""Labels nearer than this, in percent of the width, go on lines of their own."""


@dataclass(frozen=True)
class Mark:
    """One mean IoU on the scale, in [0, 1]; x is in percent of the width, anchor is SVG's text-anchor."""

    name: str
    value: float
    x: float
    anchor: str


@dataclass(frozen=True)
class Gap:
    """Three scores on one scale.

    Attributes:
        closed: The share of the gap that was closed, negative if it grew; None if there was no gap.
        is_crowded: Whether source-only and oracle are too near for labels on one line.
    """

    source_only: Mark
    adapted: Mark
    oracle: Mark
    closed: float | None
    is_crowded: bool


def find_gap(runs: Sequence[ShownRun]) -> Gap | None:
    """Lay the gap out; None unless source-only, judged run and oracle all have a score."""
    scored = {run.role: (run.name, run.mean_iou) for run in runs if run.mean_iou is not None}
    if not runs[0].is_source_only or not {"baseline", "judged", "oracle"} <= set(scored):
        return None
    values = [scored[role][1] for role in ("baseline", "judged", "oracle")]
    low, span = min(values), max(values) - min(values) or 1.0
    source_only, adapted, oracle = (
        _mark(scored[role][0], value, MARGIN + (100 - 2 * MARGIN) * (value - low) / span)
        for role, value in zip(("baseline", "judged", "oracle"), values, strict=True)
    )
    gap = oracle.value - source_only.value
    closed = (adapted.value - source_only.value) / gap if gap > 0 else None
    return Gap(source_only, adapted, oracle, closed, abs(oracle.x - source_only.x) < CLOSE)


def _mark(name: str, value: float, x: float) -> Mark:
    # Labels near an end grow inwards.
    anchor = "start" if x < 1.5 * MARGIN else "end" if x > 100 - 1.5 * MARGIN else "middle"
    return Mark(name, value, round(x, 2), anchor)
