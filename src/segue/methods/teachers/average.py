"""The usual teacher: the student's own moving average."""

import copy
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from segue.methods.context import Context
from segue.methods.method import Term
from segue.methods.teacher import Teacher, TeacherSettings, move_towards
from segue.settings import Share
from segue.types import Batch, Output


class AverageSettings(TeacherSettings):
    """The exponential moving average of the student."""

    name: Literal["average"] = "average"
    momentum: Share = 0.999  # alpha: the average's factor once it has warmed up
    # How batch norms normalise. "batch": by the statistics of the batch being labelled, while the running ones drift
    # along unused, as in the official code. "average": by running statistics that follow the student's.
    statistics: Literal["batch", "average"] = "batch"
    # Whether the teacher is the student itself after the first update, as in the code of DACS; in that of DAFormer and
    # its heirs it is then the mean of the student before and after.
    copies_first: bool = False

    def build(self, context: Context, terms: Mapping[str, Term]) -> "EmaTeacher":
        """A copy of the student that follows it."""
        return EmaTeacher(self, context.student)


class EmaTeacher(Teacher):
    """The exponential moving average of the student.

    Source: Mean Teacher (Tarvainen and Valpola, NeurIPS 2017), as the code of DAFormer uses it.

    Args:
        student: The network to copy and to follow.
    """

    def __init__(self, settings: AverageSettings, student: nn.Module) -> None:
        super().__init__()
        self.settings = settings
        self.network = copy.deepcopy(student).requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> "EmaTeacher":
        """Dropout and stochastic depth are always off; batch norms as the settings say."""
        super().train(False)
        if mode and self.settings.statistics == "batch":
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
        head_start = 1 if self.settings.copies_first else 2
        share = 1.0 - min(1.0 - 1.0 / (step + head_start), self.settings.momentum)
        move_towards(list(self.network.parameters()), list(student.parameters()), share, held)
        if self.settings.statistics == "average":
            _follow_buffers(list(self.network.buffers()), list(student.buffers()), share)


def _follow_buffers(mine: list[Tensor], theirs: list[Tensor], share: float) -> None:
    for own, other in zip(mine, theirs, strict=True):
        if own.is_floating_point():
            own.lerp_(other, share)
        else:
            own.copy_(other)
