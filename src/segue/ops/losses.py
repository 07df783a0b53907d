"""Losses as maps and means, in float32 whatever the precision of the pass."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from segue.types import IGNORE


def cross_entropy(logits: Float[Tensor, "b k h w"], label: Int64[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    """Cross-entropy of every pixel, natural logarithm; zero where the label is ignored."""
    return F.cross_entropy(logits.float(), label, ignore_index=IGNORE, reduction="none")


def soft_cross_entropy(
    logits: Float[Tensor, "b k h w"], label: Int64[Tensor, "b h w"], soft: Float[Tensor, "b k h w"]
) -> Float[Tensor, "b h w"]:
    """Cross-entropy of every pixel with probabilities; zero where the label is ignored."""
    loss = F.cross_entropy(logits.float(), soft.float(), reduction="none")
    return loss.masked_fill(label == IGNORE, 0.0)


def masked_mean(values: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """The mean over the true cells of a mask; 0, with a gradient of 0, if there are none.

    Note:
        DAFormer's code gives NaN without a gradient on an empty mask, which users report as a bug.
    """
    kept = torch.where(mask, values, torch.zeros_like(values))
    return kept.sum() / mask.sum().clamp(min=1)


def feature_distance(
    features: Float[Tensor, "b c h w"], reference: Float[Tensor, "b c h w"]
) -> Float[Tensor, "b h w"]:
    """Euclidean distance of two feature maps at every cell.

    Source: DAFormer (Hoyer et al., CVPR 2022), section 3.2: the distance to ImageNet features.
    """
    return torch.linalg.vector_norm(features.float() - reference.float(), dim=1)
