"""Who labels the target: networks that are never trained by gradient."""

import copy
from typing import Literal

import torch
from torch import Tensor, nn

from segue.methods.context import Preparation, Trained
from segue.types import Batch, Output

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


class EmaTeacher(Teacher):
    """The exponential moving average of the student.

    Source: Mean Teacher (Tarvainen and Valpola, NeurIPS 2017), as the code of DAFormer uses it.

    Args:
        student: The network to copy and to follow.
        momentum: The average's factor once it has warmed up.
        statistics: How batch norms normalise. "batch": by the statistics of the batch being labelled, while the
            running ones drift along unused, as in the official code. "average": by running statistics that
            follow the student's.
        copies_first: Whether the teacher is the student itself after the first update, as in the code of DACS; in
            that of DAFormer and its heirs it is then the mean of the student before and after.
    """

    def __init__(
        self,
        student: nn.Module,
        *,
        momentum: float = 0.999,
        statistics: Literal["batch", "average"] = "batch",
        copies_first: bool = False,
    ) -> None:
        super().__init__()
        self.network = copy.deepcopy(student).requires_grad_(False)
        self.momentum = momentum
        self.statistics: Literal["batch", "average"] = statistics
        self.head_start = 1 if copies_first else 2
        self.train()

    def train(self, mode: bool = True) -> "EmaTeacher":
        """Dropout and stochastic depth are always off; batch norms as ``statistics`` says."""
        super().train(False)
        if mode and self.statistics == "batch":
            for module in self.network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):  # pyright: ignore[reportPrivateUsage]
                    module.train(True)
        return self

    @torch.no_grad()
    def forward(self, image: Tensor) -> Output:
        """The teacher's output, without gradient."""
        return self.network(image)

    def learner(self) -> nn.Module:
        """The average."""
        return self.network

    @torch.no_grad()
    def follow(self, student: nn.Module, batch: Batch, step: int, held: Tensor | None = None) -> None:
        """Move towards the student by one minus min(1 - 1 / (step + 2), momentum).

        Note:
            DAFormer's code updates at the start of iteration i + 1 with min(1 - 1 / (i + 2), momentum), which is this
            call after step i. That of DACS updates after iteration i with min(1 - 1 / (i + 1), momentum)
            (``copies_first``). Only parameters follow; with ``statistics="average"`` buffers do too.
        """
        share = 1.0 - min(1.0 - 1.0 / (step + self.head_start), self.momentum)
        move_towards(list(self.network.parameters()), list(student.parameters()), share, held)
        if self.statistics == "average":
            _follow_buffers(list(self.network.buffers()), list(student.buffers()), share)


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


def _follow_buffers(mine: list[Tensor], theirs: list[Tensor], share: float) -> None:
    for own, other in zip(mine, theirs, strict=True):
        if own.is_floating_point():
            own.lerp_(other, share)
        else:
            own.copy_(other)
