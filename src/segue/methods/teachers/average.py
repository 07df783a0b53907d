"""The usual teacher: the student's own moving average."""

import copy
import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from segue.evaluation.predictors import SMALLEST
from segue.methods.context import Context
from segue.methods.method import Term
from segue.methods.teacher import Teacher, TeacherSettings, move_towards
from segue.ops.resize import resize
from segue.settings import Share
from segue.types import Batch, Output

TINY = torch.finfo(torch.float32).tiny


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
    # How it looks at each picture again before it labels it: at these factors of its size, and each time in the mirror,
    # too. The probabilities are averaged, as SAC does. It looks at them as they are in any case.
    scales: list[Annotated[float, Field(ge=0.25, le=4.0)]] = []
    flip: bool = False

    @field_validator("scales")
    @classmethod
    def _looks_again(cls, scales: list[float]) -> list[float]:
        if 1.0 in scales:
            raise ValueError("1.0 is how the teacher sees pictures anyway; leave it out")
        return scales

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
        """The teacher's output, without gradient; its logits are those of all looks at the picture."""
        output: Output = self.network(image)
        mirrored = [False, True] if self.settings.flip else [False]
        _, *further = itertools.product([1.0, *self.settings.scales], mirrored)
        if not further:
            return output
        size = (output.logits.shape[-2], output.logits.shape[-1])
        total = output.logits.float().softmax(1)
        for scale, is_mirrored in further:
            total += resize(self._look(image, scale, is_mirrored).float(), size).softmax(1)
        return replace(output, logits=(total / (1 + len(further))).clamp(min=TINY).log())

    def _look(self, image: Tensor, scale: float, is_mirrored: bool) -> Tensor:
        """The logits of pictures that are seen at a factor of their size, perhaps in the mirror; turned back."""
        rows, columns = (max(SMALLEST, round(side * scale)) for side in image.shape[-2:])
        seen = resize(image, (rows, columns))
        return self.network(seen.flip(-1)).logits.flip(-1) if is_mirrored else self.network(seen).logits

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
