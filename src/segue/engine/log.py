"""What a run records while it trains: two files of JSON lines, and lines or a bar on the console."""

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from segue.engine.waiting import MUCH, advice
from segue.memory import highest_mib
from segue.progress import duration, showing

EVERY = 30.0
"""Seconds after which a pipe gets a line even if no record is written."""

WORTH_ESTIMATING = 20
"""Steps from which on it is said how long all of them will take."""


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file, up to a line that a killed run left unfinished."""
    if not path.is_file():
        return []
    rows: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def seconds_trained(folder: Path) -> float:
    """How long a run and its stages took to train, summed over interruptions; 0 if nothing is known.

    The log of the stage that became the run's result is there twice, and counted once.
    """
    logs = {path.read_bytes(): path for path in folder.rglob("timing.jsonl")}
    return sum(elapsed(row["seconds"] for row in read_lines(path)) for path in logs.values())


def elapsed(seconds: Iterable[float]) -> float:
    """The total time in a log whose clock starts again at 0 whenever the run is resumed."""
    total = before = 0.0
    for now in seconds:
        total += now - before if now >= before else now
        before = now
    return total


class RunLog:
    """Writes ``metrics.jsonl`` (what was computed, equal on every repetition) and ``timing.jsonl``.

    It also shows progress, by a bar on a terminal and by plain lines elsewhere. Lines of an interrupted run from step
    ``start`` on are removed. ``also`` gets the values and speed of each line, and its step.
    """

    def __init__(
        self,
        folder: Path,
        *,
        steps: int,
        start: int,
        console: Console,
        title: str,
        also: Callable[[dict[str, Any], int], None] | None = None,
    ) -> None:
        self.also = also
        self.steps = steps
        self.start = start
        self.console = console
        self.title = title
        self.began = self.marked = time.perf_counter()
        self.marked_step = start
        self.said = -math.inf
        self.first: float | None = None
        self.is_estimated = steps - start < WORTH_ESTIMATING
        self.is_advised = False
        self.alone = ExitStack()
        self.files = [_reopened(folder / name, start) for name in ("metrics.jsonl", "timing.jsonl")]
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task(title, total=steps, completed=start, losses="")

    def __enter__(self) -> "RunLog":
        self.bar.start()
        self.alone.enter_context(showing(None))  # a console has room for one bar
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.alone.close()
        self.bar.stop()
        for file in self.files:
            file.close()

    def advance(self, step: int) -> None:
        """Show that a step is done; call it after :meth:`write`."""
        self.bar.update(self.task, completed=step + 1)
        self._estimate(step)
        if not self.console.is_terminal and time.perf_counter() - self.said > EVERY:
            self._say(f"{self.title}  {step + 1}/{self.steps}")

    def _estimate(self, step: int) -> None:
        """Say once, after the first steps, how long all of them will take."""
        now = time.perf_counter()
        if self.first is None:  # the first step is slower than the others
            self.first, self.first_step = now, step
        elif not self.is_estimated and (step - self.first_step >= 5 or now - self.first > 60):
            self.is_estimated = True
            each = (now - self.first) / (step - self.first_step)
            self._say(
                f"{self.title}  about {duration(each * (self.steps - step - 1))} for the remaining"
                f" {self.steps - step - 1} steps; Ctrl-C stops it, and the same command goes on"
            )

    def _say(self, text: str) -> None:
        self.said = time.perf_counter()
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def write(self, step: int, values: Mapping[str, float], *, waited: float = 0.0) -> None:
        """Record the values of a step, and how fast training went since the last record.

        Args:
            waited: The seconds since then that were spent waiting for pictures.
        """
        now = time.perf_counter()
        passed = max(now - self.marked, 1e-9)
        rate, waiting = (step + 1 - self.marked_step) / passed, min(1.0, waited / passed)
        self.marked, self.marked_step = now, step + 1
        timing = {
            "step": step,
            "seconds": round(now - self.began, 3),
            "steps_per_second": round(rate, 4),
            "waiting": round(waiting, 4),
            "memory_mb": round(highest_mib(), 1),
        }
        for file, row in zip(self.files, ({"step": step, **values}, timing), strict=True):
            file.write(json.dumps(row) + "\n")
            file.flush()
        if self.also is not None:
            self.also({**values, "steps_per_second": rate}, step)
        self._show(step, values, rate)
        # The first record is no sign: processes that read have just started.
        if waiting >= MUCH and step > self.start and not self.is_advised:
            self.is_advised = True
            self._say(advice(waiting))

    def _show(self, step: int, values: Mapping[str, float], rate: float) -> None:
        losses = "  ".join(f"{name} {value:.4g}" for name, value in values.items() if "/" in name)
        if self.console.is_terminal:
            self.bar.update(self.task, losses=f"{rate:.1f}/s  {losses}")
            return
        pace = f"{rate:.2f} steps/s  {duration((self.steps - step - 1) / max(rate, 1e-9))} left  "
        is_first = step == self.start  # and slower than the others
        self._say(f"{self.title}  {step + 1}/{self.steps}  {'' if is_first else pace}{losses}")


def _reopened(path: Path, start: int):
    """Open a file of rows for appending, without its rows from step ``start`` on."""
    rows = [row for row in read_lines(path) if row["step"] < start]
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("w", encoding="utf-8")
    file.writelines(json.dumps(row) + "\n" for row in rows)
    file.flush()
    return file
