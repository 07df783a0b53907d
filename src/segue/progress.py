"""How far something has come: a bar on a terminal, plain lines in a pipe, nothing where nobody asked to see it.

Whoever has a console says so once (``showing``); whatever takes time below says what it counts (``counting``).
"""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.progress import Progress

FIRST, EVERY = 1.0, 15.0
"""Seconds until a pipe gets its first line, and then between lines; what is done before that is done silently."""

ENOUGH = 3
"""Items that must be done before they say how long the rest takes: the first one waits for processes to start."""

_console: ContextVar[Console | None] = ContextVar("console", default=None)


@contextmanager
def showing(console: Console | None) -> Generator[None]:
    """Within, everything that counts shows it on a console; None for silence, as while another bar is shown."""
    before = _console.set(console)
    try:
        yield
    finally:
        _console.reset(before)


@contextmanager
def counting(title: str, total: int) -> Generator[Callable[[object], None]]:
    """Show how many of ``total`` are done; what it yields is called once for each."""
    console = _console.get()
    if console is None or console.quiet:
        yield lambda _: None
    elif console.is_terminal:
        with showing(None), Progress(console=console, transient=True) as bar:
            task = bar.add_task(title, total=total)
            yield lambda _: bar.advance(task)
    else:
        lines = _Lines(title, total, console)
        try:
            with showing(None):
                yield lines.advance
        finally:
            lines.first.cancel()


class _Lines:
    """Says how far something is, first after a second, even if the first item takes longer."""

    def __init__(self, title: str, total: int, console: Console) -> None:
        self.title, self.total, self.console = title, total, console
        self.done = 0
        self.began = time.perf_counter()
        self.due = self.began + FIRST
        self.first = threading.Timer(FIRST, self.say)
        self.first.daemon = True
        self.first.start()

    def advance(self, _: object) -> None:
        self.done += 1
        if time.perf_counter() >= self.due and self.done < self.total:
            self.say()

    def say(self) -> None:
        now = time.perf_counter()
        self.due = now + EVERY
        left = (now - self.began) / max(self.done, 1) * (self.total - self.done)
        said = f", {duration(left)} left" if self.done >= ENOUGH else ""
        self.console.print(f"{self.title}  {self.done}/{self.total}{said}", highlight=False, markup=False)


def duration(seconds: float) -> str:
    """A time in the unit in which one waits for it: 40 s, 12 min, 3.5 hours."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} hours"
