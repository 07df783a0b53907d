"""Who labels the target: networks that are never trained by gradient."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from segue.methods.context import Context, Preparation, Trained
from segue.methods.method import Term
from segue.settings import Settings
from segue.types import Batch

NAMES_IN_METHOD = "teacher.network."
"""What the names of a teacher that learns begin with in its method's state, and so in checkpoints."""


class Teacher(nn.Module):
    """Whoever labels the target: from images (B,3,H,W) to an output, without gradient."""

    def learner(self) -> nn.Module | None:
        """The network that may be reported in the student's place; None if it never learns."""
        return None

    def prepare(self, preparation: Preparation) -> None:
        """Called once before the first step; most teachers have nothing to prepare."""

    def follow(self, student: nn.Module, batch: Batch, step: int, held: Tensor | None = None) -> None:
        """Learn from the student after the update of this step; no parameter moves while ``held`` is 1."""

    def trained(self) -> Trained | None:
        """What it leaves behind; None if nobody asks for it after training."""
        return None


class TeacherSettings(Settings):
    """The settings of a teacher, and how it is built."""

    name: Any
    """What settings files call it: a literal of each teacher's own."""

    def build(self, context: Context, terms: Mapping[str, Term]) -> Teacher:
        """The teacher of the context's student, checked before anything is written.

        Args:
            context: The run.
            terms: The additional losses, which may compare student and teacher.

        Raises:
            ValueError: If it does not fit the run.
            OSError: If a file that it needs is missing.
        """
        raise NotImplementedError


class Frozen(Teacher):
    """A network that never changes: outside ``parameters()`` and ``state_dict()``, so no checkpoint holds it.

    Args:
        network: Copied, set to evaluation mode and cut off from gradients.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        # A tuple hides the network from nn.Module's registration of submodules.
        self._held = (copy.deepcopy(network).eval().requires_grad_(False),)

    @torch.no_grad()
    def forward(self, image: Tensor) -> object:
        """Whatever the network returns, without gradient."""
        return self._held[0](image)

    def _apply(self, fn, recurse: bool = True):  # pyright: ignore[reportUnknownParameterType, reportMissingParameterType]
        self._held[0]._apply(fn)
        return super()._apply(fn, recurse)


@torch.no_grad()
def move_towards(own: list[Tensor], others: list[Tensor], share: float, held: Tensor | None = None) -> None:
    """Move parameters a share of the way to others, in place; not at all while a flag on the device is 1.

    It is one step of gradient descent on half the squared distance, because that kernel knows such a flag, as no
    ``lerp`` does: own - share * (own - others), with ``maximize`` for the sign of the others.

    Args:
        own: Float tensors that move.
        others: Where to, of the same shapes.
        share: Of the way, in [0, 1].
        held: 0 or 1, a scalar; None for 0.
    """
    torch._fused_sgd_(  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
        own,
        others,
        [],
        weight_decay=1.0,
        momentum=0.0,
        lr=share,
        dampening=0.0,
        nesterov=False,
        maximize=True,
        is_first_step=False,
        found_inf=held,
    )
