"""Ctrl-C and SIGTERM as a wish to stop, which the training grants once its step is done."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

PATIENCE = 20.0
"""Seconds that a step has to end in; schedulers kill after 30."""


class Stopping:
    """Within, Ctrl-C and SIGTERM are noted instead of ending the program.

    A second one, or a step that lasts too long, ends it at once; the newest checkpoint is then an older one. Where
    signals cannot be caught, outside of the main thread, nothing changes.

    Attributes:
        asked: The signal that came; None as long as nobody wants to stop.
    """

    def __init__(self) -> None:
        self.asked: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Stopping":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
            if hasattr(signal, "SIGALRM"):
                self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if signal.SIGALRM in self._before:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def leave(self) -> None:
        """End the program as its signal would have: ``KeyboardInterrupt``, or exit code 143 for SIGTERM."""
        self._end()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked is not None:
            self._end()
        self.asked = signal.Signals(number)
        if signal.SIGALRM in self._before:
            signal.setitimer(signal.ITIMER_REAL, PATIENCE)

    def _end(self, *_: object) -> None:
        if self.asked == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        raise KeyboardInterrupt


@contextmanager
def ended_by_sigterm() -> Generator[None]:
    """Within, SIGTERM ends the program as Ctrl-C does, so that what has to be ended in order is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
