"""Sharpness-aware minimisation: the gradient is taken at the highest point of the loss near the weights."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segue.engine.settings import SharpnessSettings
from segue.ops.sharpness import copy_all, raise_


class Sharpness:
    """Moves weights a little way up the gradient, and exactly back.

    It holds nothing between steps, so that a run resumes without it. Official code subtracts what it added, which
    restores weights up to rounding; here the weights themselves come back.
    """

    def __init__(self, settings: SharpnessSettings) -> None:
        self.settings = settings
        self._before: list[tuple[nn.Parameter, Tensor]] = []

    def ascend(self, parameters: Sequence[nn.Parameter]) -> None:
        """Move the weights that have a gradient."""
        with torch.no_grad():
            self._before = [(one, one.clone()) for one in parameters if one.grad is not None]
        gradients = [one.grad for one, _ in self._before if one.grad is not None]
        moved = [one for one, _ in self._before]
        raise_(moved, gradients, radius=self.settings.radius, adaptive=self.settings.adaptive)

    @torch.no_grad()
    def restore(self) -> None:
        """Put every weight back, to the bit."""
        copy_all([one for one, _ in self._before], [before for _, before in self._before])
        self._before = []
