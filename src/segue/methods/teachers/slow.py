"""A teacher that follows the student only now and then."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from segue.methods.context import Context
from segue.methods.method import Term
from segue.methods.teacher import TeacherSettings
from segue.methods.teachers.average import AverageSettings, EmaTeacher
from segue.settings import Count, Share
from segue.types import Batch


class SlowSettings(TeacherSettings):
    """The moving average of the student as it is every so many steps."""

    name: Literal["slow"] = "slow"
    momentum: Share = 0.99  # gamma
    every: Count = 100  # T: steps between two updates

    def build(self, context: Context, terms: Mapping[str, Term]) -> "SlowTeacher":
        """Build a copy of the student that follows it."""
        return SlowTeacher(self, context.student)


class SlowTeacher(EmaTeacher):
    """The moving average of the student's weights and of its batch statistics, by which it normalises.

    Source: SAC (Araslanov and Roth, CVPR 2021), section 3.1, and its code.
    """

    def __init__(self, settings: SlowSettings, student: nn.Module) -> None:
        super().__init__(AverageSettings(momentum=settings.momentum, statistics="average"), student)
        self.every = settings.every

    @torch.no_grad()
    def follow(self, student: nn.Module, batch: Batch, step: int, held: Tensor | None = None) -> None:
        """Move after every so many steps."""
        if (step + 1) % self.every == 0:
            self.move(student, 1.0 - self.settings.momentum, held)
