"""Classifier refinement: the classifier alone learns the source as if its classes were as frequent as the target's."""

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from segue.methods.context import Context
from segue.methods.method import Method, MethodSettings, Term
from segue.models.segmenter import Segmenter
from segue.ops.losses import cross_entropy
from segue.types import Batch, View


class RefinementSettings(MethodSettings):
    """Undoing's second form: the encoder rests, and the head learns the source's labels with other priors."""

    name: Literal["classifier_refinement"] = "classifier_refinement"
    shows_domains_apart: ClassVar[bool] = False
    # Of each class, the logarithm of the target's prior over the source's; empty: priors are equal.
    shift: list[float] = []

    @property
    def reads_target(self) -> bool:
        """The source alone."""
        return False

    def build(self, context: Context, terms: Mapping[str, Term]) -> "Refinement":
        """Around the student; a ValueError if there is not one number for each class."""
        if self.shift and len(self.shift) != len(context.classes):
            raise ValueError(
                f"method.shift has {len(self.shift)} numbers: give one for each of {len(context.classes)} classes"
            )
        return Refinement(self, context, terms)


class Refinement(Method):
    """The head learns the source by logits from which the shift is taken, so that what is left fits the target.

    Source: classifier refinement of Undoing (Liu et al., CVPR 2022); as in its code, ignored pixels count in the mean.
    """

    def __init__(self, settings: RefinementSettings, context: Context, terms: Mapping[str, Term]) -> None:
        super().__init__(context.student, terms, view_names=("source",))
        shift = torch.tensor(settings.shift or [0.0] * len(context.classes))
        self.register_buffer("shift", shift, persistent=False)
        context.student.encoder.requires_grad_(False)

    def views(self, batch: Batch, step: int) -> Iterator[View]:
        """Yield the source view."""
        yield View("source", batch.source.image, batch.source.label, loss=self._shifted)

    def resting(self) -> Iterable[nn.Module]:
        """The encoder, which stays as it predicts."""
        return (cast(Segmenter, self.student).encoder,)

    def _shifted(self, logits: Tensor, label: Tensor) -> Tensor:
        return refined_loss(logits, label, cast(Tensor, self.shift))


def refined_loss(logits: Tensor, label: Tensor, shift: Tensor) -> Tensor:
    """Cross-entropy (B,H,W) of logits (B,K,H,W) that are brought back to the source's priors."""
    return cross_entropy(logits.float() - shift[:, None, None], label)
