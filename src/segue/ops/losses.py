"""Losses as maps and means, in float32 whatever the precision of the pass; one needs float64, for a stated reason."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from segue.ranks import mean_over_ranks
from segue.types import IGNORE

LEAST = 1e-6
"""Below any mean number of cells but 0: what a sum that is 0 may be divided by."""


def cross_entropy(logits: Float[Tensor, "b k h w"], label: Int64[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    """Cross-entropy of every pixel, in nats; zero where the label is ignored."""
    return F.cross_entropy(logits.float(), label, ignore_index=IGNORE, reduction="none")


def soft_cross_entropy(
    logits: Float[Tensor, "b k h w"], label: Int64[Tensor, "b h w"], soft: Float[Tensor, "b k h w"]
) -> Float[Tensor, "b h w"]:
    """Cross-entropy of every pixel with probabilities; zero where the label is ignored."""
    loss = F.cross_entropy(logits.float(), soft.float(), reduction="none")
    return loss.masked_fill(label == IGNORE, 0.0)


def reverse_cross_entropy(
    logits: Float[Tensor, "b k h w"], label: Int64[Tensor, "b h w"]
) -> Float[Tensor, "b h w"]:
    """Cross-entropy of the label with the prediction: what other classes are given, times -log(1e-4).

    Zero where the label is ignored; at most -log(1e-4), where the label's own class is given nothing.

    Source: symmetric cross-entropy (Wang et al., ICCV 2019), as in the code of ProDA (Zhang et al., CVPR 2021), which
    cuts probabilities at 1e-7.
    """
    probability = logits.float().softmax(1).clamp(min=1e-7)
    own = probability.gather(1, label.masked_fill(label == IGNORE, 0)[:, None])[:, 0]
    return (-math.log(1e-4) * (probability.sum(1) - own)).masked_fill(label == IGNORE, 0.0)


def divergence(logits: Float[Tensor, "b k h w"], target: Float[Tensor, "b k h w"]) -> Float[Tensor, "b h w"]:
    """The Kullback-Leibler divergence of a prediction from target probabilities, which need not sum to one.

    Source: the follow-up code of ensemble distillation: 1e-6 is added to the prediction, and the mean is over all
    elements, so the sum over classes is divided by their number.
    """
    prediction = (logits.float().softmax(1) + 1e-6).log()
    return (torch.xlogy(target, target) - target * prediction).mean(1)


def dirichlet_nll(
    logits: Float[Tensor, "b k h w"], mean_log: Float[Tensor, "b k h w"]
) -> Float[Tensor, "b h w"]:
    """The mean negative log-likelihood of distributions under the Dirichlet distribution of exp(logits), in float32.

    Source: EnD² (Malinin et al., ICLR 2020), equation 8.

    Note:
        Computed in float64. The gradient is a small difference multiplied by the concentration: where members agree,
        float32 loses 1 % of it at concentrations of e^12, a fifth at e^15, and all of it at e^18.

    Args:
        logits: Logarithms of the concentrations, cut at -30 and 20.
        mean_log: The mean over the distributions of the log of each class's probability, best in float64, too.
    """
    concentration = logits.double().clamp(-30.0, 20.0).exp()
    normaliser = torch.lgamma(concentration).sum(1) - torch.lgamma(concentration.sum(1))
    return (normaliser - ((concentration - 1.0) * mean_log).sum(1)).float()


def masked_mean(values: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """The mean over the true cells of a mask; 0, with a gradient of 0, if there are none.

    Of several processes each divides by their mean number of cells, so that the mean of their gradients is that of
    the joined batch.

    Note:
        DAFormer's code gives NaN without a gradient on an empty mask, which users report as a bug.
    """
    kept = torch.where(mask, values, torch.zeros_like(values))
    return kept.sum() / mean_over_ranks(mask.sum().float()).clamp(min=LEAST)


def feature_distance(
    features: Float[Tensor, "b c h w"], reference: Float[Tensor, "b c h w"]
) -> Float[Tensor, "b h w"]:
    """Euclidean distance of two feature maps at every cell.

    Source: DAFormer (Hoyer et al., CVPR 2022), section 3.2.
    """
    return torch.linalg.vector_norm(features.float() - reference.float(), dim=1)
