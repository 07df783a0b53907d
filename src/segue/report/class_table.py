"""The table of classes: what every run reaches on each, and how far that is from the first run."""

from collections.abc import Sequence
from dataclasses import dataclass

from segue.classes import Colour
from segue.report.roles import ShownRun


@dataclass(frozen=True)
class ClassRow:
    """One class; None where it was nowhere labelled.

    Attributes:
        name: The class.
        colour: Its colour in the pictures.
        ious: One for each run.
        changes: From the first run, one for each run; None for the first.
    """

    name: str
    colour: Colour
    ious: list[float | None]
    changes: list[float | None]


def class_table(runs: Sequence[ShownRun]) -> list[ClassRow]:
    """A row for each class of any run."""
    palette: dict[str, Colour] = {}
    for run in runs:
        palette |= {name: c for name, c in run.folder.palette.items() if name not in palette}
    scored = {name for run in runs for name in run.ious}
    return [_row(name, palette[name], runs) for name in palette if name in scored]


def widest_change(rows: Sequence[ClassRow]) -> float:
    """The largest change in the table, in [0, 1], to which its bars are scaled; 1 if nothing moved."""
    return max((abs(change) for row in rows for change in row.changes if change is not None), default=0) or 1


def _row(name: str, colour: Colour, runs: Sequence[ShownRun]) -> ClassRow:
    ious = [run.ious.get(name) for run in runs]
    first = ious[0]
    changes = [None if first is None or iou is None else iou - first for iou in ious[1:]]
    return ClassRow(name, colour, ious, [None, *changes])
