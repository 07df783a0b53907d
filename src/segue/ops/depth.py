"""What is computed of depths: how wrong a prediction is, and how far two of them agree."""

import torch
from jaxtyping import Float
from torch import Tensor

from segue.ops.losses import masked_mean
from segue.ranks import share_largest

UNKNOWN = 1.0
"""The nearness of what is unknown, as in depth files: such pixels are not learnt."""


def berhu(predicted: Float[Tensor, "b h w"], wanted: Float[Tensor, "b h w"]) -> Float[Tensor, ""]:
    """The mean reverse Huber loss over all pixels that are known: 0 if there are none.

    Errors up to c, a fifth of the largest one of all processes, count as they are, larger ones as (e² + c²) / 2c: value
    and slope are continuous there. No gradient flows through c.

    Source: CorDA (Wang et al., ICCV 2021), after Laina et al. (3DV 2016).
    """
    known = wanted != UNKNOWN
    error = torch.where(known, (predicted.float() - wanted).abs(), 0.0)
    largest = error.detach().amax()
    share_largest(largest)
    bound = 0.2 * largest
    large = (error.square() + bound.square()) / (2 * bound.clamp(min=torch.finfo(torch.float32).tiny))
    return masked_mean(torch.where(error <= bound, error, large), known)


def depth_agreement(
    one: Float[Tensor, "b h w"], other: Float[Tensor, "b h w"], wanted: Float[Tensor, "b h w"]
) -> Float[Tensor, "b h w"]:
    """How far two predictions of a depth agree at each pixel, from 0.001 to 1, as a share of the depth itself.

    It is 1 where the depth is unknown.

    Source: CorDA (Wang et al., ICCV 2021); the constant and the rule for unknown pixels are its code's.
    """
    share = 1.0 - (one.float() - other.float()).abs() / wanted
    return (share.relu() + 1e-3 + (wanted == UNKNOWN)).clamp(0.0, 1.0)
