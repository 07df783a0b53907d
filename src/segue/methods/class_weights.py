"""Class weights, and which pixels are learnt, for students of offline labels."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from segue.ops.balance import present_pixels
from segue.ranks import mean_over_ranks
from segue.settings import Positive, Settings, Share

Percentile = Annotated[float, Field(ge=0.0, lt=100.0)]
"""The percentile of the loss below which pixels are left out; 0 keeps all."""


class ClassWeightSettings(Settings):
    """Weights of small classes and of classes seldom seen (the student of an ensemble)."""

    weight: Positive = 7.0  # weight of a small class
    small: Share = 1 / 32  # a class on fewer of the batch's pixels is small; 64 x 64 of 512 x 256
    momentum: Share = 0.9  # momentum of the factor for classes seldom seen; 1 leaves it out

    def build(self, classes: int) -> "ClassWeights":
        """Build the weights of so many classes."""
        return ClassWeights(self, classes)


class ClassWeights(nn.Module):
    """Larger weights for the classes with few pixels in a batch, and larger still for those seldom seen at all.

    Source: the code of ensemble distillation. A class with fewer than 64 x 64 pixels per picture of 512 x 256 weighs
    7, any other 1. This is multiplied by a moving average, which follows by a tenth per batch, of 7 for batches
    without the class and 1 for the others.
    """

    often: Tensor

    def __init__(self, settings: ClassWeightSettings, classes: int) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("often", torch.ones(classes))

    @torch.no_grad()
    def forward(self, label: Tensor) -> Tensor:
        """The weights of this batch's classes (K,); updates the moving average."""
        settings = self.settings
        pixels = mean_over_ranks(present_pixels(label, len(self.often)).float())
        absent = torch.where(pixels == 0, settings.weight, 1.0)
        self.often.lerp_(absent, 1.0 - settings.momentum)
        return torch.where(pixels < settings.small * label.numel(), settings.weight, 1.0) * self.often
