"""Patches of a label: which classes lie where in each, and the kinds of patches that there are."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from segue.types import IGNORE

QUARTERS = 2
"""A patch is described in two rows and two columns."""


def patch_grid(size: tuple[int, int], patch: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of patches in a picture of a height and width: as many as fit, at least one."""
    return max(1, size[0] // patch[0]), max(1, size[1] // patch[1])


def patch_histograms(
    label: Int64[Tensor, "b h w"], grid: tuple[int, int], num_classes: int
) -> tuple[Float[Tensor, "b u v four_k"], Bool[Tensor, "b u v"]]:
    """The shares of every class in each quarter of each patch, and whether the patch has a labelled pixel.

    Patches differ by a pixel or two where the grid does not divide the label's size. Ignored pixels do not count; a
    quarter of nothing else is all zeros.

    Source: PatchAlign (Tsai et al., ICCV 2019), section 3.2.
    """
    batch, height, width = label.shape
    rows, columns = grid[0] * QUARTERS, grid[1] * QUARTERS
    row = torch.arange(height, device=label.device) * rows // height
    column = torch.arange(width, device=label.device) * columns // width
    image = torch.arange(batch, device=label.device)
    quarter = (image[:, None, None] * rows + row[:, None]) * columns + column
    bins = quarter * (num_classes + 1) + torch.where(label == IGNORE, num_classes, label)
    counts = torch.zeros(batch * rows * columns * (num_classes + 1), device=label.device)
    counts.scatter_add_(0, bins.flatten(), counts.new_ones(()).expand(bins.numel()))
    counts = counts.view(batch, grid[0], QUARTERS, grid[1], QUARTERS, num_classes + 1)[..., :num_classes]
    total = counts.sum(-1, keepdim=True)
    shares = (counts / total.clamp(min=1)).permute(0, 1, 3, 2, 4, 5).flatten(3)
    return shares, total.sum((2, 4, 5)) > 0


def nearest(points: Float[Tensor, "*n d"], centres: Float[Tensor, "m d"]) -> Int64[Tensor, "*n"]:
    """The place of the nearest centre of every point."""
    return torch.cdist(points.flatten(0, -2), centres).argmin(1).view(points.shape[:-1])


def k_means(points: Float[Tensor, "n d"], count: int, *, generator: torch.Generator) -> Float[Tensor, "m d"]:
    """Centres of groups of points, by at most 50 of Lloyd's rounds from starts that are far from one another.

    Source: k-means++ (Arthur and Vassilvitskii, SODA 2007). A group that loses all its points keeps its centre; with
    fewer different points than groups, some centres are equal, of which the first gets the points.
    """
    first = torch.randint(len(points), (1,), generator=generator)
    centres = points[first]
    apart = (points - centres).square().sum(1)
    for _ in range(count - 1):
        # The small constant allows a draw where every point already is a centre.
        chosen = torch.multinomial(apart + 1e-12, 1, generator=generator)
        centres = torch.cat([centres, points[chosen]])
        apart = torch.minimum(apart, (points - points[chosen]).square().sum(1))
    for _ in range(50):
        group = nearest(points, centres)
        size = torch.bincount(group, minlength=count)[:, None]
        moved = torch.zeros_like(centres).index_add_(0, group, points) / size.clamp(min=1)
        moved = torch.where(size > 0, moved, centres)
        if torch.equal(moved, centres):
            break
        centres = moved
    return centres
