"""Weights of the classes of a batch, and how many of its pixels are learnt: for students of offline labels."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from segue.ops.balance import present_pixels
from segue.ranks import mean_over_ranks
from segue.settings import Positive, Settings, Share

Percentile = Annotated[float, Field(ge=0.0, lt=100.0)]
"""Of the loss, below which pixels are left out; 0 keeps all."""


class ClassWeightSettings(Settings):
    """Weights of small and seldom classes (the student of an ensemble)."""

    weight: Positive = 7.0  # of a small class
    small: Share = 1 / 32  # of a batch's pixels; 64 x 64 of 512 x 256
    momentum: Share = 0.9  # of the factor for classes seldom seen; 1 leaves it out

    def build(self, classes: int) -> "ClassWeights":
        """For so many classes."""
        return ClassWeights(self, classes)


class ClassWeights(nn.Module):
    """Weights of the classes of a batch: more for those with few pixels, and more still for those seldom seen.

    Source: the code of ensemble distillation: a class with fewer than 64 x 64 pixels a picture of 512 x 256, or
    without any, weighs seven times; a factor that follows, by a tenth a batch, 7 where the class is absent and 1
    elsewhere is multiplied to it.

    Args:
        classes: How many there are.
    """

    often: Tensor

    def __init__(self, settings: ClassWeightSettings, classes: int) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("often", torch.ones(classes))

    @torch.no_grad()
    def forward(self, label: Tensor) -> Tensor:
        """The weights of this batch (K,); the factor moves."""
        wanted = self.settings
        pixels = mean_over_ranks(present_pixels(label, len(self.often)).float())
        absent = torch.where(pixels == 0, wanted.weight, 1.0)
        self.often.lerp_(absent, 1.0 - wanted.momentum)
        return torch.where(pixels < wanted.small * label.numel(), wanted.weight, 1.0) * self.often
