"""Spatial priors: where in a picture classes are to be expected, from smoothed counts of labels on a grid."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor


def count_cells(
    label: UInt8[Tensor, "h w"], grid: tuple[int, int], num_classes: int
) -> Int64[Tensor, "k rows columns"]:
    """How many pixels of each class lie in each cell of a grid over a label; ignored ones are left out."""
    (height, width), (rows, columns) = label.shape, grid
    row = torch.arange(height) * rows // height
    column = torch.arange(width) * columns // width
    bins = (label.long().clamp(max=num_classes) * rows + row[:, None]) * columns + column
    counts = torch.bincount(bins.flatten(), minlength=(num_classes + 1) * rows * columns)
    return counts.view(num_classes + 1, rows, columns)[:num_classes]


def spatial_prior(counts: Int64[Tensor, "k rows columns"], side: float) -> Float[Tensor, "k rows columns"]:
    """How much of each class is to be expected in each cell, in [0, 1]; 0 for a class that never occurs.

    The frequency of a class in a cell is its share of the labelled pixels there, both counts smoothed, so that
    borders, ignored pixels and cells without a pixel have no influence. Every class has the same sum over the
    picture: the map says where a class is, not how common it is.

    Source: CBST (Zou et al., ECCV 2018), spatial priors; its code reads a finished file. The common factor, which
    changes no label, makes the highest value 1.

    Args:
        counts: From :func:`count_cells`, summed over the labels.
        side: Side of the Gaussian kernel in cells, six standard deviations.
    """
    smooth = _smoothed(counts.double(), side)
    frequency = smooth / smooth.sum(0).clamp(min=1e-12)
    frequency = frequency / frequency.sum((1, 2), keepdim=True).clamp(min=1e-12)
    return (frequency / frequency.max().clamp(min=1e-12)).float()


def _smoothed(maps: Float[Tensor, "k rows columns"], side: float) -> Float[Tensor, "k rows columns"]:
    radius = int(side / 2)
    if radius < 1:
        return maps
    places = torch.arange(-radius, radius + 1, dtype=maps.dtype)
    kernel = torch.exp(-0.5 * (places / (side / 6)) ** 2)
    down = F.conv2d(maps[:, None], kernel.view(1, 1, -1, 1), padding=(radius, 0))
    return F.conv2d(down, kernel.view(1, 1, 1, -1), padding=(0, radius))[:, 0]
