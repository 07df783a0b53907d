"""A progress bar over pictures."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress


@contextmanager
def counting(title: str, total: int) -> Generator[Callable[[object], None]]:
    """Show a bar on a terminal, nothing elsewhere; what it yields is called once for each picture."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total)
        yield lambda _: bar.advance(task)
