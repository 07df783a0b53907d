"""The lower bound: training on the source alone."""

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
    names_pictures: ClassVar[bool] = True

    def reading(self, recipe: str) -> Reading:
        """Read the source alone."""
        return Reading(target=False)

    def build(self, context: Context, terms: Mapping[str, Term]) -> "SourceOnly":
        """Build the method around the student."""
        return SourceOnly(context.student, terms)


class SourceOnly(Method):
    """Supervised training on the source; the oracle puts the labelled target in the source's place."""

    def __init__(self, student: nn.Module, terms: Mapping[str, Term] | None = None) -> None:
        super().__init__(student, terms, view_names=("source",))

    def views(self, batch: Batch, step: int) -> Iterator[View]:
        """Yield the source view."""
        yield View("source", batch.source.image, batch.source.label)
