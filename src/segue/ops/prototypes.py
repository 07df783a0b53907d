"""One vector for each class: how far a pixel's features are from it, and how it follows the features of its class."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from segue.types import IGNORE


def distances(
    features: Float[Tensor, "b d h w"], prototypes: Float[Tensor, "k d"], known: Bool[Tensor, " k"]
) -> Float[Tensor, "b k h w"]:
    """The Euclidean distance of every cell to every prototype, in float32.

    A class that nothing is known of is as far as the farthest of the others. The official code takes its prototype for
    zero, and may so find it the nearest.
    """
    with torch.autocast(features.device.type, enabled=False):
        cells = features.float().flatten(2).transpose(1, 2)
        apart = torch.cdist(cells, prototypes.float()[None], compute_mode="donot_use_mm_for_euclid_dist")
    apart = apart.transpose(1, 2).unflatten(2, features.shape[-2:])
    farthest = apart.masked_fill(~known.view(1, -1, 1, 1), 0.0).amax(1, keepdim=True)
    return torch.where(known.view(1, -1, 1, 1), apart, farthest)


def nearness(distance: Float[Tensor, "b k h w"], temperature: float) -> Float[Tensor, "b k h w"]:
    """How near each prototype is in comparison to the others; sums to one over the classes.

    Source: ProDA (Zhang et al., CVPR 2021), equation 5; as in its code, the temperature multiplies.
    """
    return (-temperature * distance).softmax(1)


def denoised_label(
    probability: Float[Tensor, "b k h w"], near: Float[Tensor, "b k h w"], *, threshold: float = 0.0
) -> Int64[Tensor, "b h w"]:
    """The class of the highest product of probability and nearness, IGNORE where it is below a threshold of their sum.

    Source: ProDA, equation 4.
    """
    product = probability.float() * near
    highest, label = product.max(1)
    share = highest / product.sum(1).clamp(min=torch.finfo(torch.float32).tiny)
    return label.masked_fill(share < threshold, IGNORE)


def class_means(
    features: Float[Tensor, "b d h w"], label: Int64[Tensor, "b h w"], *, classes: int, least: int
) -> tuple[Float[Tensor, "b k d"], Bool[Tensor, "b k"]]:
    """The mean features of each class in each picture, and whether it covers at least so many cells there.

    Cells without a label count for no class.
    """
    with torch.autocast(features.device.type, enabled=False):
        member = torch.stack([label == name for name in range(classes)], 1).flatten(2).float()
        count = member.sum(2)
        total = member @ features.float().flatten(2).transpose(1, 2)
    return total / count.clamp(min=1)[..., None], count >= least


@torch.no_grad()
def follow(
    prototypes: Float[Tensor, "k d"],
    counts: Float[Tensor, " k"],
    means: Float[Tensor, "b k d"],
    found: Bool[Tensor, "b k"],
    *,
    momentum: float,
    exact: int = 100,
) -> None:
    """Move prototypes, in place, towards the means of classes that were found, picture by picture.

    A prototype is the exact mean of its first observations, then a moving average; without any it stays.

    Source: the code of ProDA.

    Args:
        counts: Observations so far, changed in place.
        momentum: The share of a new mean (0.0001 in ProDA).
        exact: Observations up to which it is the exact mean.
    """
    for mean, is_there in zip(means, found, strict=True):
        share = torch.where(counts < exact, 1 / (counts + 1), torch.full_like(counts, momentum)) * is_there
        prototypes.lerp_(mean, share[:, None])
        counts.add_(is_there)
