"""Class weights, and which pixels are learnt."""

from functools import partial
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from segue.ops.balance import hardest, present_pixels
from segue.ops.losses import LEAST, cross_entropy, soft_cross_entropy
from segue.ranks import mean_over_ranks
from segue.settings import Positive, Settings, Share
from segue.types import IGNORE, View

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


def balance(view: View, weights: ClassWeights | None, percentile: float) -> None:
    """Let rare classes weigh more in a view's loss, and leave its easy pixels out; with neither it stays as it is."""
    if view.label is None or (weights is None and percentile == 0):
        return
    of_classes = None if weights is None else weights(view.label)
    view.loss = partial(labelled_loss, weights=of_classes, percentile=percentile)
    view.mean_over = "pixels"  # this loss is a mean over labelled pixels already


def labelled_loss(
    logits: Tensor,
    label: Tensor,
    soft: Tensor | None = None,
    *,
    weights: Tensor | None,
    percentile: float,
) -> Tensor:
    """Cross-entropy (B,H,W) of logits (B,K,H,W), whose mean is the weighted mean over labelled pixels that are hard.

    Source: the code of CRST and of ensemble distillation; a batch without a labelled pixel costs 0 (in CRST's
    code it is NaN).

    Args:
        soft: Probabilities (B,K,H,W) that are learnt instead of the label.
        weights: Of the classes (K,); None for 1.
        percentile: Of the weighted loss, as in :func:`segue.ops.balance.hardest`.
    """
    loss = cross_entropy(logits, label) if soft is None else soft_cross_entropy(logits, label, soft)
    counted = torch.ones_like(loss) if weights is None else weights[label.clamp(max=len(weights) - 1)]
    loss = loss * counted
    kept = hardest(loss, label, percentile=percentile) != IGNORE
    total = mean_over_ranks((counted * kept).sum()).clamp(min=LEAST)
    return loss * kept * (loss.numel() / total)
