"""Progress of a verb, beside its results."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console

from segue import progress
from segue.ranks import is_first_rank


def shown() -> AbstractContextManager[None]:
    """Within, the first process shows on the error stream what is counted."""
    return progress.showing(Console(stderr=True) if is_first_rank() else None)


@contextmanager
def counting(title: str, total: int) -> Generator[Callable[[object], None]]:
    """As :func:`segue.progress.counting`, on the error stream; what it yields is called once for each picture."""
    with shown(), progress.counting(title, total) as advance:
        yield advance
