"""A network that predicts how near things are beside their classes."""

from dataclasses import fields
from typing import cast

from torch import Tensor

from segue.models.heads.tasks import TaskHead
from segue.models.segmenter import Segmenter, enlarged
from segue.types import Depths, Output, Supervised


class DepthSegmenter(Segmenter):
    """An encoder and a head of several tasks; the classes are supervised at both of its stages, in training mode."""

    predicts_depth = True

    def decoded(self, features: list[Tensor], image: Tensor) -> Output:
        """What the head makes of the encoder's maps of an image."""
        told = cast(TaskHead, self.head).tasks(features)
        logits, first, depths = told.logits, told.first_logits, told.depths
        if self.aligned_corners:
            logits, first = enlarged(logits, image), enlarged(first, image)
            depths = depths and Depths(*(enlarged(getattr(depths, f.name), image) for f in fields(depths)))
        supervised = [Supervised(logits), *([Supervised(first)] if self.training else [])]
        return Output(logits, features, told.embedding, supervised, first, depths)
