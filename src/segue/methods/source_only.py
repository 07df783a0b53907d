"""The lower bound: train on the source, look at nothing else."""

from collections.abc import Iterator, Mapping

from torch import nn

from segue.methods.method import Method, Term
from segue.types import Batch, View


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
