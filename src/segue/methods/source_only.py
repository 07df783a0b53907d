"""The lower bound: training on the source alone."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import torch

from segue.methods.class_weights import ClassWeightSettings, Percentile, balance
from segue.methods.context import Context
from segue.methods.method import Method, MethodSettings, Term
from segue.types import Batch, View


class SourceOnlySettings(MethodSettings):
    """Supervised training on the source."""

    name: Literal["source_only"] = "source_only"
    shows_domains_apart: ClassVar[bool] = False
    # Show the network target pictures, too, from which nothing is learnt: its running batch statistics are then those
    # of both domains (the baseline of SAC, Araslanov and Roth, CVPR 2021).
    mixes_statistics: bool = False
    weights: ClassWeightSettings | None = None  # of the classes
    percentile: Percentile = 0.0  # of the loss, below which pixels are left out
    names_pictures: ClassVar[bool] = True

    @property
    def reads_target(self) -> bool:
        """Only for its statistics."""
        return self.mixes_statistics

    def build(self, context: Context, terms: Mapping[str, Term]) -> "SourceOnly":
        """Build the method around the student."""
        return SourceOnly(self, context, terms)


class SourceOnly(Method):
    """Supervised training on the source; the oracle puts the labelled target in the source's place."""

    def __init__(self, settings: SourceOnlySettings, context: Context, terms: Mapping[str, Term]) -> None:
        super().__init__(context.student, terms, view_names=("source",))
        self.settings = settings
        self.weights = settings.weights and settings.weights.build(len(context.classes))

    def views(self, batch: Batch, step: int) -> Iterator[View]:
        """Yield the source view."""
        source = View("source", batch.source.image, batch.source.label)
        balance(source, self.weights, self.settings.percentile)
        yield source
        if self.settings.mixes_statistics:
            assert batch.target is not None, "the engine gives a target loader"
            with torch.no_grad():
                self.student(batch.target.image)
