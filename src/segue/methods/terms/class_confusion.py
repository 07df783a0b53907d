"""Predictions on the target are not to confuse classes with one another."""

from typing import ClassVar

from torch import Tensor, nn

from segue.methods.context import Context
from segue.methods.method import Term, TermSettings
from segue.ops.class_confusion import class_confusion
from segue.settings import NotNegative, Positive
from segue.types import Output, View


class ClassConfusionSettings(TermSettings):
    """MCC: minimum class confusion on the target, for pictures that have one class each."""

    names_pictures: ClassVar[bool] = True
    share: NotNegative = 1.0
    temperature: Positive = 2.0  # T

    def build(self, context: Context) -> "ClassConfusion":
        """The term; ``ValueError`` if the network names pixels."""
        if not context.student.names_pictures:
            raise ValueError("terms.class_confusion compares pictures that have one class each: leave it out")
        return ClassConfusion(self)


class ClassConfusion(Term):
    """How much the batch's predictions on the target mix classes up.

    Source: MCC (Jin et al., ECCV 2020).
    """

    view_names = ("target",)

    def __init__(self, settings: ClassConfusionSettings) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, network: nn.Module, view: View, output: Output) -> dict[str, Tensor]:
        """The loss, from 0 to 1 - 1/K, times its share."""
        loss = class_confusion(output.logits.flatten(1), self.settings.temperature)
        return {"class_confusion": self.settings.share * loss}
