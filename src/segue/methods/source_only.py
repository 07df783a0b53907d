"""The lower bound: train on the source, look at nothing else."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from torch import nn

from segue.methods.context import Context
from segue.methods.method import Method, MethodSettings, Reading, Term
from segue.types import Batch, View


class SourceOnlySettings(MethodSettings):
    """Supervised training on the source."""

    name: Literal["source_only"] = "source_only"
    shows_domains_apart: ClassVar[bool] = False

    def reading(self, recipe: str) -> Reading:
        """The source alone."""
        return Reading(target=False)

    def build(self, context: Context, terms: Mapping[str, Term]) -> "SourceOnly":
        """Around the student."""
        return SourceOnly(context.student, terms)


class SourceOnly(Method):
    """Supervised training on whatever plays the source.

    With the labelled target as its source this is the target-supervised oracle.
    """

    def __init__(self, student: nn.Module, terms: Mapping[str, Term] | None = None) -> None:
        super().__init__(student, terms, view_names=("source",))

    def views(self, batch: Batch, step: int) -> Iterator[View]:
        """The labelled pictures.

        Yields:
            The source view.
        """
        yield View("source", batch.source.image, batch.source.label)
