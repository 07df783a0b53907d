"""The lower bound: training on the source alone."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import torch
from torch import nn

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
    names_pictures: ClassVar[bool] = True

    @property
    def reads_target(self) -> bool:
        """Only for its statistics."""
        return self.mixes_statistics

    def build(self, context: Context, terms: Mapping[str, Term]) -> "SourceOnly":
        """Build the method around the student."""
        return SourceOnly(context.student, terms, mixes_statistics=self.mixes_statistics)


class SourceOnly(Method):
    """Supervised training on the source; the oracle puts the labelled target in the source's place."""

    def __init__(
        self, student: nn.Module, terms: Mapping[str, Term] | None = None, *, mixes_statistics: bool = False
    ) -> None:
        super().__init__(student, terms, view_names=("source",))
        self.mixes_statistics = mixes_statistics

    def views(self, batch: Batch, step: int) -> Iterator[View]:
        """Yield the source view."""
        yield View("source", batch.source.image, batch.source.label)
        if self.mixes_statistics:
            assert batch.target is not None, "the engine gives a target loader"
            with torch.no_grad():
                self.student(batch.target.image)
