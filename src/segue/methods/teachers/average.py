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
    momentum: Share = 0.999  # alpha: the average's factor after its first steps
    # What batch norms normalise by: "batch": the statistics of the batch being labelled, as in the official code, where
    # running ones go unused; "average": running statistics that follow the student's.
    statistics: Literal["batch", "average"] = "batch"
    # After the first update the teacher equals the student, as in DACS's code; in that of DAFormer and its successors
    # it is then the mean of the student before and after.
    copies_first: bool = False

    def build(self, context: Context, terms: Mapping[str, Term]) -> "EmaTeacher":
        """Build a copy of the student that follows it."""
        return EmaTeacher(self, context.student)


class EmaTeacher(Teacher):
    """The exponential moving average of the student.

    Source: Mean Teacher (Tarvainen and Valpola, NeurIPS 2017), as the code of DAFormer uses it.
    """

    def __init__(self, settings: AverageSettings, student: nn.Module) -> None:
        super().__init__()
        self.settings = settings
        self.network = copy.deepcopy(student).requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> "EmaTeacher":
        """Keep dropout and stochastic depth off, and set batch norms as the settings say."""
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

        DAFormer's code updates at the start of iteration i + 1 with min(1 - 1 / (i + 2), momentum), which is this call
        after step i; DACS's updates after iteration i with min(1 - 1 / (i + 1), momentum) (``copies_first``). Only
        parameters follow; with ``statistics="average"`` buffers do, too.
        """
        head_start = 1 if self.settings.copies_first else 2
        self.move(student, 1.0 - min(1.0 - 1.0 / (step + head_start), self.settings.momentum), held)

    def move(self, student: nn.Module, share: float, held: Tensor | None) -> None:
        """Move parameters, and perhaps buffers, a share of the way to the student's."""
        move_towards(list(self.network.parameters()), list(student.parameters()), share, held)
        if self.settings.statistics == "average":
            for own, other in zip(self.network.buffers(), student.buffers(), strict=True):
                if own.is_floating_point():
                    own.lerp_(other, share)
                else:
                    own.copy_(other)
