"""Tables of scores: drawn on a terminal, plain lines when piped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from segue.scores import protocol_line


@dataclass(frozen=True)
class ScoresTable:
    """A row for each class and one for each mean, for ``Console.print``.

    Attributes:
        rows: The cells, starting with the class's name.
        means: The same for the means, the main one first.
        note: The lines below the table.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    means: tuple[tuple[str, ...], ...]
    note: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """A drawn table on a terminal, plain lines elsewhere; rich calls this."""
        yield self._drawn() if console.is_terminal else Text(self.plain(), no_wrap=True, overflow="ignore")

    def plain(self) -> str:
        """The table as aligned lines, without borders."""
        lines = [self.headings, *self.rows, *self.means]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.headings))]
        aligned = ["  ".join(_aligned(line, widths)) for line in lines]
        return "\n".join([self.title, *aligned, self.note])

    def _drawn(self) -> Table:
        table = Table(title=self.title, caption=self.note)
        for place, heading in enumerate(self.headings):
            table.add_column(heading, justify="right" if place else "left")
        for row in self.rows:
            table.add_row(*row)
        table.add_section()
        for row in self.means:
            table.add_row(*row, style="bold")
        return table


def scores_table(scores: Mapping[str, Any], *, title: str) -> ScoresTable:
    """The IoU of every class in percent, n/a where the class was nowhere labelled.

    Args:
        scores: The content of ``scores.json``; with ``source_evaluation`` there is a second column.
        title: The line above the table.
    """
    source = scores.get("source_evaluation")
    kind, by_class = (
        ("accuracy", "per_class_accuracy") if scores.get("confusion") else ("IoU", "per_class_iou")
    )
    mean = "class_accuracy" if scores.get("confusion") else "mean_iou"
    parts: list[Mapping[str, Any]] = [scores] if source is None else [scores, source]
    headings = ("class", f"{kind} %") if source is None else ("class", f"target {kind} %", f"source {kind} %")
    names = list(scores["per_class_iou"])
    counted = scores.get("counted", names)
    rows = [
        (
            name if name in counted else f"{name} (not counted)",
            *(_percent(part[by_class].get(name)) for part in parts),
        )
        for name in names
    ]
    means = [(f"mean of {scores['classes_counted']}", *(_percent(part[mean]) for part in parts))]
    for name in scores.get("means", {}):
        means.append((f"mean: {name}", *(_percent(part.get("means", {}).get(name)) for part in parts)))
    counted_ones = "pictures" if scores.get("confusion") else "pixels"
    note = f"{_percent(scores['accuracy'])} % of {scores['pixels']:,} {counted_ones} right"
    if scores["classes_counted"] < len(counted):
        note += "\nn/a: nowhere labelled, left out of the mean"
    how = protocol_line(scores.get("protocol", {}))
    return ScoresTable(title, headings, tuple(rows), tuple(means), "\n".join(filter(None, (note, how))))


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    numbers = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return [cells[0].ljust(widths[0]), *numbers]


def _percent(fraction: float | None) -> str:
    return "n/a" if fraction is None else f"{100 * fraction:.1f}"


@dataclass(frozen=True)
class PlainTable:
    """Any table of texts, for ``Console.print``; the first column is aligned to the left, and so is the last."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """A drawn table on a terminal, aligned lines elsewhere; rich calls this."""
        if console.is_terminal:
            table = Table(*self.headings, title=self.title)
            for row in self.rows:
                table.add_row(*row)
            yield table
            return
        lines = [self.headings, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.headings))]
        said = [
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in lines
        ]
        yield Text(
            "\n".join([self.title, *(line.rstrip() for line in said)]), no_wrap=True, overflow="ignore"
        )
