"""Tables of scores: drawn on a terminal, plain lines when piped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class ScoresTable:
    """A row for each class and one for the mean; hand it to ``Console.print``.

    Attributes:
        title: The line above.
        headings: What the columns are called.
        rows: The cells, class name first; the last row is the mean.
        note: The lines below.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich."""
        yield self._drawn() if console.is_terminal else Text(self.plain(), no_wrap=True, overflow="ignore")

    def plain(self) -> str:
        """The table as aligned lines without any drawing."""
        lines = [self.headings, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.headings))]
        aligned = ["  ".join(_aligned(line, widths)) for line in lines]
        return "\n".join([self.title, *aligned, self.note])

    def _drawn(self) -> Table:
        table = Table(title=self.title, caption=self.note)
        for place, heading in enumerate(self.headings):
            table.add_column(heading, justify="right" if place else "left")
        for row in self.rows[:-1]:
            table.add_row(*row)
        table.add_section()
        table.add_row(*self.rows[-1], style="bold")
        return table


def scores_table(scores: Mapping[str, Any], *, title: str) -> ScoresTable:
    """The IoU of every class in percent, n/a where the class was nowhere labelled.

    Args:
        scores: What ``scores.json`` holds; with ``source_evaluation`` there is a second column.
        title: The line above.

    Returns:
        What ``Console.print`` takes.
    """
    source = scores.get("source_evaluation")
    parts: list[Mapping[str, Any]] = [scores] if source is None else [scores, source]
    headings = ("class", "IoU %") if source is None else ("class", "target IoU %", "source IoU %")
    names = list(scores["per_class_iou"])
    rows = [(name, *(_percent(part["per_class_iou"].get(name)) for part in parts)) for name in names]
    mean = (f"mean of {scores['classes_counted']}", *(_percent(part["mean_iou"]) for part in parts))
    note = f"{_percent(scores['accuracy'])} % of {scores['pixels']:,} pixels right"
    if scores["classes_counted"] < len(names):
        note += "\nn/a: nowhere labelled, left out of the mean"
    return ScoresTable(title, headings, (*rows, mean), note)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    numbers = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return [cells[0].ljust(widths[0]), *numbers]


def _percent(fraction: float | None) -> str:
    return "n/a" if fraction is None else f"{100 * fraction:.1f}"
