"""How alike two networks' maps are, cell by cell, channel by channel or as a whole."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Likeness = Literal["channel", "token", "both"]


def likeness(
    one: Float[Tensor, "*l m c"], other: Float[Tensor, "*l m c"], kind: Likeness
) -> Float[Tensor, "*l"]:
    """The mean cosine between two maps, in [-1, 1]; vectors of zeros have a cosine of 0.

    Source: CLDA, equation 6, which is "channel": a channel's values at all cells are one vector. The equation sums over
    the channels, here it is their mean. "token" takes a cell's channels as one vector, "both" the whole map.

    Args:
        one: Cells of all pictures by channels; leading axes enumerate maps.
        other: The same of another network.
    """
    one, other = one.float(), other.float()
    match kind:
        case "channel":
            return F.cosine_similarity(one, other, dim=-2).mean(-1)
        case "token":
            return F.cosine_similarity(one, other, dim=-1).mean(-1)
        case "both":
            return F.cosine_similarity(one.flatten(-2), other.flatten(-2), dim=-1)


def linear_cka(one: Float[Tensor, "m c"], other: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """Linear centred kernel alignment of two maps of the same cells, whose widths may differ.

    Source: Kornblith et al., ICML 2019, equations 3 and 4; CLDA's analysis of layers uses it.

    Returns:
        In [0, 1]: 1 for maps that are equal up to rotation, uniform scale and shift; 0 where one of them is
        constant.
    """
    one, other = (part.float() - part.float().mean(0) for part in (one, other))
    shared = torch.linalg.matrix_norm(one.T @ other) ** 2
    own = torch.linalg.matrix_norm(one.T @ one) * torch.linalg.matrix_norm(other.T @ other)
    return shared / own.clamp(min=torch.finfo(torch.float32).tiny)  # a constant map would give 0 / 0
