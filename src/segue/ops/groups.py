"""Which tokens of a source and a target picture may meet in attention: two groups, drawn at random.

A mask holds 0 or 1 for every pixel; pixels of one number are one group, over both pictures of a pair. Every
function returns the source's and the target's masks, for a batch of pairs.

Source: STCT + MHA, section 3.3, figure 3; sizes that the paper leaves open are stated below.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Int64, UInt8
from torch import Generator, Tensor

from segue.ops.mixing import class_mask, classes_present, draw_half, draw_some

GRID = 32
"""Pixels per key: in every stage of a mix transformer, the keys' grid has a thirty-second of the picture's sides."""


def random_groups(
    size: tuple[int, int, int], *, device: torch.device, generator: Generator | None = None
) -> UInt8[Tensor, "2 b h w"]:
    """Half of the keys' cells in either group, drawn for each domain on its own; ``size``: pairs, rows and columns."""
    pairs, height, width = size
    rows, columns = max(1, height // GRID), max(1, width // GRID)
    # Sorting an order gives ranks: exactly half of the cells are below the middle, without a host sync.
    place = torch.rand(2, pairs, rows * columns, device=device, generator=generator).argsort(-1).argsort(-1)
    cells = (place < (rows * columns) // 2).view(2, pairs, rows, columns)
    return F.interpolate(cells.float(), (height, width), mode="nearest").to(torch.uint8)


def halves(
    size: tuple[int, int, int], *, anywhere: bool, device: torch.device, generator: Generator | None = None
) -> UInt8[Tensor, "2 b h w"]:
    """The picture cut in two by a horizontal or a vertical line: in the middle (HVH), or anywhere (HVR).

    Anywhere means between any two rows or columns of keys' cells. ``size`` is pairs, rows and columns.
    """
    pairs, height, width = size
    draw = torch.rand(3, pairs, 1, 1, device=device, generator=generator)
    row = torch.arange(height, device=device).view(1, -1, 1)
    column = torch.arange(width, device=device).view(1, 1, -1)
    cuts = [_cut(side, draw[0], anywhere=anywhere) for side in (height, width)]
    is_first = torch.where(draw[1] < 0.5, row < cuts[0], column < cuts[1])
    return _both((is_first ^ (draw[2] < 0.5)).to(torch.uint8))


def _cut(side: int, draw: Tensor, *, anywhere: bool) -> Tensor:
    if not anywhere:
        return torch.full_like(draw, side // 2)
    cells = max(2, side // GRID)
    return (1 + (draw * (cells - 1)).floor()) * (side / cells)


def cutout(
    size: tuple[int, int, int], *, device: torch.device, generator: Generator | None = None
) -> UInt8[Tensor, "2 b h w"]:
    """A rectangle and its surroundings.

    Its area is 0.3 to 0.7 of the picture's. Its height over its width, both as shares of the picture's, is 0.5 to 2 on
    a logarithmic scale; what would reach over the border is clipped. The paper states no size.
    """
    pairs, height, width = size
    draw = torch.rand(4, pairs, 1, 1, device=device, generator=generator)
    area, ratio = 0.3 + 0.4 * draw[0], torch.exp(math.log(0.5) + math.log(4.0) * draw[1])
    high, wide = ((area * r).sqrt().clamp(max=1.0) for r in (ratio, 1 / ratio))
    top, left = draw[2] * (1 - high) * height, draw[3] * (1 - wide) * width
    row = torch.arange(height, device=device).view(1, -1, 1)
    column = torch.arange(width, device=device).view(1, 1, -1)
    inside = (row >= top) & (row < top + high * height) & (column >= left) & (column < left + wide * width)
    return _both(inside.to(torch.uint8))


def semantic(
    label: Int64[Tensor, "b h w"],
    target_label: Int64[Tensor, "b h w"] | None = None,
    *,
    scattered: int = 0,
    generator: Generator | None = None,
) -> UInt8[Tensor, "2 b h w"]:
    """Half of the source picture's classes (rounded up) in one group, the others in the other one.

    Args:
        label: The source's; the ignored value counts as a class.
        target_label: What divides the target by the same classes; None copies the source's mask, pixel by
            pixel, as the paper does.
        scattered: How many of the classes are torn apart: each of their pixels falls into either group at random.
    """
    present = classes_present(label)
    chosen = draw_half(present, generator)
    torn = draw_some(present, scattered, generator) if scattered else None
    masks = [
        _divided(values, chosen, torn, generator)
        for values in ([label] if target_label is None else [label, target_label])
    ]
    return torch.stack([masks[0], masks[-1]])


def _divided(
    label: Int64[Tensor, "b h w"], chosen: Tensor, torn: Tensor | None, generator: Generator | None
) -> UInt8[Tensor, "b h w"]:
    mask = class_mask(label, chosen)
    if torn is not None:
        coin = torch.rand(label.shape, device=label.device, generator=generator) < 0.5
        mask = torch.where(class_mask(label, torn), coin, mask)
    return mask.to(torch.uint8)


def _both(masks: UInt8[Tensor, "b h w"]) -> UInt8[Tensor, "2 b h w"]:
    """One mask for both pictures of a pair."""
    return torch.stack([masks, masks])
