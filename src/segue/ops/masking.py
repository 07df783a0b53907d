"""Hiding blocks of a picture at random."""

import torch
from jaxtyping import Bool
from torch import Tensor

from segue.ops.resize import resize_nearest


def keep_mask(
    size: tuple[int, int, int],
    block: float,
    ratio: float,
    *,
    device: torch.device | None = None,
    generator: torch.Generator | None = None,
) -> Bool[Tensor, "b h w"]:
    """True where a picture stays visible, decided block by block, for each picture on its own.

    Source: MIC (Hoyer et al., CVPR 2023), equation 5; https://arxiv.org/abs/2212.01322.

    Args:
        size: Pictures, rows and columns.
        block: Side of a block in pixels; where it does not divide a side, blocks differ by about a pixel, as in
            the official code.
        ratio: The share of blocks to hide, in [0, 1].
    """
    count, height, width = size
    rows, columns = (max(1, round(side / block)) for side in (height, width))
    uniform = torch.rand(count, 1, rows, columns, device=device, generator=generator)
    return resize_nearest((uniform > ratio).float(), (height, width))[:, 0].bool()
