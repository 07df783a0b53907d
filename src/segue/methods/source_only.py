"""The lower bound: train on the source, look at nothing else."""

from collections.abc import Iterator
from typing import ClassVar

from segue.methods.method import Method
from segue.types import Batch, View


class SourceOnly(Method):
    """Supervised training on whatever plays the source.

    With the labelled target as its source this is the target-supervised oracle.
    """

    view_names: ClassVar[tuple[str, ...]] = ("source",)

    def views(self, batch: Batch, step: int) -> Iterator[View]:
        """The labelled pictures.

        Yields:
            The source view.
        """
        yield View("source", batch.source.image, batch.source.label)
