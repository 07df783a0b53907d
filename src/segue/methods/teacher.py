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
"""The prefix of a learning teacher's tensors in its method's state, and so in checkpoints."""


class Teacher(nn.Module):
    """Labels the target: turns images (B,3,H,W) into an output, without gradient."""

    def learner(self) -> nn.Module | None:
        """The network that may be scored in the student's place; None if it never learns."""
        return None

    def prepare(self, preparation: Preparation) -> None:
        """Called once before the first step; most teachers have nothing to prepare."""

    def follow(self, student: nn.Module, batch: Batch, step: int, held: Tensor | None = None) -> None:
        """Follow the student after this step's update; no parameter moves while ``held`` is 1."""

    def trained(self) -> Trained | None:
        """The network that it leaves behind; None if none is of use after training."""
        return None


class TeacherSettings(Settings):
    """The settings of a teacher, and how it is built."""

    name: Any
    """The teacher's name in settings files: each subclass narrows it to a literal of its own."""

    def build(self, context: Context, terms: Mapping[str, Term]) -> Teacher:
        """Build the teacher of the context's student; it may raise what ``MethodSettings.build`` raises."""
        raise NotImplementedError


class Frozen(Teacher):
    """A copy of a network that never changes.

    It is in evaluation mode and outside ``parameters()`` and ``state_dict()``, so that no checkpoint holds it.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        # In a tuple, nn.Module does not register the network as a submodule.
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

    This is what ``lerp`` does, written as a step of SGD, because the fused kernel of SGD takes such a flag and ``lerp``
    does not. Weight decay of 1 gives ``own``, ``maximize`` turns the sign of ``others``: own - share * (own - others).

    Args:
        own: Float tensors that move.
        others: Tensors of the same shapes, as gradients.
        share: In [0, 1].
        held: The flag, a scalar of 0 or 1; None for 0.
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
