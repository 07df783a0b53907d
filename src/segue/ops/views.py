"""What a teacher says of several views of one picture, joined; and how sure it has to be of each class."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from segue.ops.warp import warped
from segue.types import IGNORE


def joined_views(
    probability: Float[Tensor, "n k h w"],
    to_picture: Float[Tensor, "n 2 3"],
    to_view: Float[Tensor, "n 2 3"],
    *,
    views: int,
) -> Float[Tensor, "n k h w"]:
    """The mean prediction of all views of a picture, as each of them sees it; zero where none sees anything.

    Source: SAC (Araslanov and Roth, CVPR 2021), section 3.1; as in its code, the sum is divided by its mass.

    Args:
        probability: Views of one picture are adjacent; zero where a view shows no content.
        to_picture: See :func:`segue.ops.warp.warped`: shows a view's prediction in the picture's place.
        to_view: The way back.
    """
    together = warped(probability, to_picture).unflatten(0, (-1, views)).sum(1)
    mean = together / together.sum(1, keepdim=True).clamp(min=1e-3)
    return warped(mean.repeat_interleave(views, 0), to_view)


def moved_prior(
    prior: Float[Tensor, " k"], mean: Float[Tensor, " k"], *, start: float, momentum: float
) -> Float[Tensor, " k"]:
    """The running mean of how probable each class is.

    A class that is still where it started takes the first mean as it is, unless nothing of it was seen: then it decays.

    Source: SAC (Araslanov and Roth, CVPR 2021), section 3.3, and its code.
    """
    first = torch.where((prior == start) & (mean > 1e-8), mean, prior)
    return momentum * first + (1 - momentum) * mean


def adaptive_label(
    probability: Float[Tensor, "b k h w"],
    prior: Float[Tensor, " k"],
    *,
    scale: float,
    lowest: float,
    share: float,
) -> tuple[Int64[Tensor, "b h w"], Float[Tensor, "b h w"]]:
    """The most probable class where it is surer than a threshold, IGNORE elsewhere; and its probability everywhere.

    The threshold is a share of the class's highest probability in that picture, less for classes that are seldom
    predicted, but not below the lowest.

    Source: SAC (Araslanov and Roth, CVPR 2021), equations 4 and 5.

    Args:
        scale: beta: the prior of a class of which 1 - 1/e of the share is asked.
    """
    sure, label = probability.max(1)
    peak = probability.new_zeros(probability.shape[:2])
    peak = peak.scatter_reduce(1, label.flatten(1), sure.flatten(1), "amax")
    threshold = (share * peak * -torch.expm1(-prior / scale)).clamp(min=lowest)
    limit = threshold.gather(1, label.flatten(1)).view_as(sure)
    return label.masked_fill(sure <= limit, IGNORE), sure


def rarity(
    label: Int64[Tensor, "b h w"], prior: Float[Tensor, " k"], *, exponent: float
) -> Float[Tensor, "b h w"]:
    """The focal weight (1 - prior) ^ exponent of every pixel's class; that of class 0 where the label is IGNORE.

    Source: SAC (Araslanov and Roth, CVPR 2021), equation 6.
    """
    return (1 - prior)[label.masked_fill(label == IGNORE, 0)] ** exponent


def zeroed(probability: Float[Tensor, "b k h w"], valid: Bool[Tensor, "b h w"]) -> Float[Tensor, "b k h w"]:
    """Nothing where there is no content."""
    return probability * valid[:, None]
