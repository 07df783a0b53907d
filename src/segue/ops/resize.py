"""Changing the size of maps and labels."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer
from torch import Tensor

from segue.types import IGNORE


def resize(maps: Float[Tensor, "b c h w"], size: tuple[int, int]) -> Float[Tensor, "b c h2 w2"]:
    """Resize maps bilinearly with ``align_corners=False``; the same tensor if the size already fits."""
    if maps.shape[-2:] == size:
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def resize_nearest(maps: Float[Tensor, "b c h w"], size: tuple[int, int]) -> Float[Tensor, "b c h2 w2"]:
    """Resize masks, or other maps whose values must not be mixed, by repeating or dropping pixels."""
    if maps.shape[-2:] == size:
        return maps
    return F.interpolate(maps, size=size, mode="nearest")


def fitted(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """The largest size with a picture's aspect ratio that fits a box, its long side along the box's long side.

    Rounded half up: 1052 x 1914 in a box of 720 x 1280 becomes 704 x 1280. Training and evaluation share this
    rule, so that objects are seen at the size at which they were learnt.
    """
    factor = min(max(box) / max(size), min(box) / min(size))
    return max(1, int(size[0] * factor + 0.5)), max(1, int(size[1] * factor + 0.5))


def shrink_label(
    label: Integer[Tensor, "b h w"], size: tuple[int, int], *, num_classes: int, min_share: float = 0.75
) -> Integer[Tensor, "b h2 w2"]:
    """Give every cell of a coarser grid the class that fills most of it, or IGNORE.

    Counting pixels per cell gives the same answer as averaging a one-hot map of the full size, which would
    take ``num_classes`` times the memory.

    Source: DAFormer (Hoyer et al., CVPR 2022), section 3.3, the labels of the thing-class feature distance;
    https://arxiv.org/abs/2111.14887.

    Args:
        label: Class ids below ``num_classes``, or IGNORE.
        size: The grid's rows and columns; cells differ by a pixel where they do not divide the label's size.
        min_share: The share of the cell's pixels, in [0, 1], below which the winning class does not count.
            Ignored pixels take part in the vote as a class of their own; at a tie the lowest id wins.
    """
    batch, height, width = label.shape
    rows, columns = size
    row = torch.arange(height, device=label.device) * rows // height
    column = torch.arange(width, device=label.device) * columns // width
    image = torch.arange(batch, device=label.device)
    cell = (image[:, None, None] * rows + row[:, None]) * columns + column
    bins = cell * (num_classes + 1) + label.clamp(max=num_classes)
    counts = torch.zeros(batch * rows * columns * (num_classes + 1), device=label.device)
    counts.scatter_add_(0, bins.flatten(), counts.new_ones(()).expand(bins.numel()))
    counts = counts.view(batch, rows, columns, num_classes + 1)
    most, winner = counts.max(dim=-1)
    lost = (most / counts.sum(dim=-1) < min_share) | (winner == num_classes)
    return winner.masked_fill(lost, IGNORE).to(label.dtype)
