"""Verbs that several processes carry out together when a launcher, such as torchrun, starts them."""

from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def together(device: str | None) -> Generator[str | None]:
    """Meet the other processes of the launch, if there are any, and fail with them; yields this one's device.

    Within, what is counted is shown.
    """
    from segue.cli.progress import shown
    from segue.evaluation.model import choose_device
    from segue.ranks import failing_together, launched

    kind = choose_device(device).type
    _, processes, place = launched()
    with failing_together(cpu=kind == "cpu"), shown():
        yield f"cuda:{place}" if device is None and processes > 1 and kind == "cuda" else device
