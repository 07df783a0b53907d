"""Dilated depth-wise convolution on a CPU: cells a dilation apart become neighbours, then no dilation is needed."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from segue.ops.recording import is_recorded

MOST_PADDED = 4
"""Cells of the parts over cells of the map: up to this ratio taking the map apart is always faster; at five it depends
on the size."""


def dilated_depthwise(
    maps: Float[Tensor, "b c h w"], weight: Float[Tensor, "c 1 3 3"], *, dilation: int
) -> Float[Tensor, "b c h w"]:
    """Convolve each channel on its own with a dilated 3x3 kernel; the size of the map is kept.

    On a CPU the map is split into ``dilation`` squared maps of cells that are ``dilation`` apart. Convolving those
    without dilation gives the same numbers, three to twenty times as fast, forward and backward. On maps that are
    small for their dilation the parts would be mostly padding, and the library's convolution is faster.

    The result and its gradients are dense: batch normalisation of a view cut out of something larger is ten times
    slower.
    """
    batch, channels, height, width = maps.shape
    # The library's gradient is slow on maps with sides of one or two cells, so there are at least three.
    rows, columns = max(3, -(-height // dilation)), max(3, -(-width // dilation))
    gains = dilation > 1 and rows * columns * dilation**2 <= MOST_PADDED * height * width
    if maps.device.type != "cpu" or not gains or is_recorded():
        return F.conv2d(maps, weight, padding=dilation, dilation=dilation, groups=channels)
    parts: Tensor = _Apart.apply(maps.permute(0, 2, 3, 1), dilation, (rows, columns))
    convolved = F.conv2d(parts.flatten(0, 2).permute(0, 3, 1, 2), weight, padding=1, groups=channels)
    convolved = convolved.permute(0, 2, 3, 1).unflatten(0, (batch, dilation, dilation))
    whole: Tensor = _Joined.apply(convolved, (height, width))
    return whole.permute(0, 3, 1, 2)


def apart(
    maps: Float[Tensor, "b h w c"], dilation: int, grid: tuple[int, int]
) -> Float[Tensor, "b d d rows columns c"]:
    """One small map for each offset within ``dilation`` rows and columns; zero where the map has ended.

    Args:
        dilation: The distance, in cells of the map, of neighbours in a part.
        grid: Rows and columns of every part, at least the map's divided by the dilation, rounded up.
    """
    batch, height, width, channels = maps.shape
    parts = maps.new_empty(batch, dilation, dilation, *grid, channels)
    # Only the cells after the last whole rows and columns need zeros: padding the map would copy all of it.
    parts[:, :, :, height // dilation :] = 0
    parts[:, :, :, :, width // dilation :] = 0
    for cells, part in _same_cells(maps, parts):
        part.copy_(cells)
    return parts


def joined(parts: Float[Tensor, "b d d rows columns c"], size: tuple[int, int]) -> Float[Tensor, "b h w c"]:
    """The dense map of that height and width whose parts these are: the transpose of ``apart``."""
    batch, channels = parts.shape[0], parts.shape[-1]
    maps = parts.new_empty(batch, *size, channels)
    for cells, part in _same_cells(maps, parts):
        cells.copy_(part)
    return maps


def _same_cells(maps: Tensor, parts: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Views (b,n,d,m,d,c) of a map and its parts that show the same cells: up to the last multiple, then the rest."""
    dilation = parts.shape[1]
    for row, high, tall in _runs(maps.shape[1], dilation):
        for column, wide, broad in _runs(maps.shape[2], dilation):
            top, left = row * dilation, column * dilation
            cells = maps[:, top : top + high * tall, left : left + wide * broad]
            part = parts[:, :tall, :broad, row : row + high, column : column + wide]
            yield cells.unflatten(2, (wide, broad)).unflatten(1, (high, tall)), part.permute(0, 3, 1, 4, 2, 5)


def _runs(side: int, dilation: int) -> list[tuple[int, int, int]]:
    """Runs as (first index in a part, length, number of offsets); there is no second one where the dilation divides."""
    whole, rest = divmod(side, dilation)
    return [run for run in ((0, whole, dilation), (whole, 1, rest)) if run[1] * run[2]]


class _Apart(torch.autograd.Function):
    """``apart`` with its transpose as gradient; autograd would record views and copies, several of either."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, dilation: int, grid: tuple[int, int]) -> Tensor:
        ctx.size = (maps.shape[1], maps.shape[2])
        return apart(maps, dilation, grid)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _Joined.apply(gradients[0], ctx.size), None, None


class _Joined(torch.autograd.Function):
    """``joined`` with its transpose as gradient."""

    @staticmethod
    def forward(ctx: Any, parts: Tensor, size: tuple[int, int]) -> Tensor:
        ctx.dilation, ctx.grid = parts.shape[1], (parts.shape[3], parts.shape[4])
        return joined(parts, size)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Apart.apply(gradients[0], ctx.dilation, ctx.grid), None
