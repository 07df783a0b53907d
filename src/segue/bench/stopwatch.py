"""The seconds that the phases of one step take, by name."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from segue.clock import now


class Stopwatch:
    """Adds up seconds by name, within one step.

    On an accelerator, every reading waits for all work in flight.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}

    @contextmanager
    def measure(self, name: str) -> Generator[None]:
        """Add the time spent inside to a name."""
        began = self._now()
        yield
        self._add(name, self._now() - began)

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, measured at each call."""

        def measured(*arguments: object, **named: object) -> object:
            with self.measure(name):
                return function(*arguments, **named)

        return measured

    def backward(self, loss: Tensor, features: Sequence[Tensor], *, keep: bool = False) -> None:
        """The backward pass; what comes before the encoder's maps is added to "head", the rest to "encoder".

        Autograd goes backwards, so all of the head is done when the first of the encoder's maps has its gradient.
        ``keep`` says whether the graph is needed again.
        """
        reached: list[float] = []

        def mark(gradient: Tensor) -> None:
            reached.append(self._now())

        handles = [maps.register_hook(mark) for maps in features]
        began = self._now()
        loss.backward(retain_graph=keep)
        ended = self._now()
        for handle in handles:
            handle.remove()
        self._add("head", reached[0] - began)
        self._add("encoder", ended - reached[0])

    def _add(self, name: str, seconds: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def _now(self) -> float:
        return now(self.device)


@contextmanager
def replaced(owner: object, name: str, function: Callable[..., Any]) -> Generator[None]:
    """Give an object another attribute while the context lasts."""
    before = vars(owner).get(name)
    setattr(owner, name, function)
    try:
        yield
    finally:
        delattr(owner, name) if before is None else setattr(owner, name, before)
