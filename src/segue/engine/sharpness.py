"""Sharpness-aware minimisation: the gradient is taken at the highest point of the loss near the weights."""
# pyright: reportPrivateUsage=false, reportPrivateImportUsage=false
# Kernels over many tensors have no public names; a loop over parameters would launch thousands of small ones.

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segue.engine.settings import SharpnessSettings


class Sharpness:
    """Moves weights a little way up the gradient, and exactly back.

    It holds nothing between steps, so that a run resumes without it.

    Source: SAM (Foret et al., ICLR 2021), equations 2 and 3; ASAM (Kwon et al., ICML 2021) with ``adaptive``. The code
    of SDAT subtracts what it added, which restores weights up to rounding; here the weights themselves come back.
    """

    def __init__(self, settings: SharpnessSettings) -> None:
        self.settings = settings
        self._moved: list[Tensor] = []
        self._before: list[Tensor] = []

    @torch.no_grad()
    def ascend(self, parameters: Sequence[nn.Parameter]) -> None:
        """Move the weights that have a gradient so far that the norm of what is added to them all is the radius."""
        moved = [parameter for parameter in parameters if parameter.grad is not None]
        gradients = [gradient for parameter in moved if (gradient := parameter.grad) is not None]
        self._moved, self._before = list(moved), [parameter.clone() for parameter in moved]
        sizes = torch._foreach_abs(self._before) if self.settings.adaptive else None
        steepness = gradients if sizes is None else torch._foreach_mul(sizes, gradients)
        norm = torch.stack(torch._foreach_norm(steepness)).norm()
        if sizes is not None:
            steepness = torch._foreach_mul(sizes, list(steepness))
        scale = self.settings.radius / (norm + 1e-12)
        torch._foreach_add_(self._moved, torch._foreach_mul(list(steepness), scale))

    @torch.no_grad()
    def restore(self) -> None:
        """Put every weight back, to the bit."""
        torch._foreach_copy_(self._moved, self._before)
        self._moved, self._before = [], []
