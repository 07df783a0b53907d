"""Wide 3x3 convolutions on a CPU with a quarter of the multiplications.

A tile of 4 x 4 results needs 6 x 6 cells. Transformed, tiles and kernels are multiplied cell by cell, 36 products of
matrices in the place of the 144 that a kernel's nine cells take for sixteen results.

Source: Winograd's minimal filtering F(4x4, 3x3), as in Lavin and Gray (CVPR 2016), https://arxiv.org/abs/1509.09308.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from segue.ops.recording import is_recorded

FEWEST_CELLS, FEWEST_CHANNELS = 1024, 128
"""On smaller or narrower maps there is little to gain: 64 channels take 0.9 to 1.0 of the library's time, 128 take 0.7
to 0.8, 256 take 0.5 to 0.7, and maps of 16 x 16 cells more time (two crops, one thread, AVX-512)."""

TILES = 128
"""Tiles that are transformed at a time, so that they stay in the cache."""

SIDE, CELLS = 4, 6
"""Results of a tile along one side, and the cells that they need."""

_CELLS = torch.tensor(
    [
        [4.0, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_KERNELS = torch.tensor(
    [[6.0, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], dtype=torch.float64
).div(24)
_RESULTS = torch.tensor(
    [[1.0, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
)

# Of both directions at once, on cells and kernels that are laid out row by row.
_OF_CELLS = torch.kron(_CELLS, _CELLS)
_OF_KERNELS = torch.kron(_KERNELS, _KERNELS).float()
_OF_RESULTS = torch.kron(_RESULTS, _RESULTS)


def convolved(maps: Float[Tensor, "b c h w"], weight: Float[Tensor, "d c 3 3"]) -> Float[Tensor, "b d h w"]:
    """A 3x3 convolution with a border of zeros.

    On a CPU in float32, wide maps are convolved by Winograd's method, and what comes out, and every gradient, lies
    channels last. Its rounding error is ten times that of the library, about 3e-6 of the result.
    """
    height, width = maps.shape[-2:]
    is_plain = maps.device.type == "cpu" and maps.dtype == torch.float32 and not is_recorded()
    is_worth_it = min(weight.shape[:2]) >= FEWEST_CHANNELS and height * width >= FEWEST_CELLS
    if not (is_plain and is_worth_it) or torch.is_autocast_enabled("cpu"):
        return F.conv2d(maps, weight, padding=1)
    return _Convolution.apply(maps.permute(0, 2, 3, 1).contiguous(), weight).permute(0, 3, 1, 2)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Float[Tensor, "b h w c"], weight: Tensor) -> Float[Tensor, "b h w d"]:
        ctx.save_for_backward(maps, weight)
        return _product(maps, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        maps, weight = ctx.saved_tensors
        gradient, (of_maps, of_weight) = gradients[0].contiguous(), ctx.needs_input_grad
        found = _weight_gradient(maps, gradient, like=weight) if of_weight else None
        return (_product(gradient, weight.flip(2, 3).transpose(0, 1)) if of_maps else None), found


def _product(maps: Float[Tensor, "b h w c"], weight: Float[Tensor, "d c 3 3"]) -> Float[Tensor, "b h w d"]:
    (batch, height, width, _), (wide, channels) = maps.shape, weight.shape[:2]
    # Transposed, as the library's product of small matrices is a fifth faster that way.
    kernels = (
        (_OF_KERNELS @ weight.permute(2, 3, 0, 1).reshape(9, -1)).view(36, wide, channels).transpose(1, 2)
    )
    rows, columns = _grid(height, width)
    found = maps.new_empty(batch, SIDE * rows, SIDE * columns, wide)
    places = found.view(batch, rows, SIDE, columns, SIDE, wide).permute(0, 2, 4, 1, 3, 5)
    products, results = _Kept(maps), _Kept(maps)
    for picture, strip, tiles in _strips(maps):
        shape = (SIDE, SIDE, strip.stop - strip.start, columns, wide)
        product = torch.bmm(tiles, kernels, out=products.of(36, tiles.shape[1], wide))
        result = torch.mm(_OF_RESULTS, product.view(36, -1), out=results.of(SIDE**2, tiles.shape[1] * wide))
        places[picture, :, :, strip].copy_(result.view(shape))
    return found[:, :height, :width].contiguous()


def _weight_gradient(
    maps: Float[Tensor, "b h w c"], gradient: Float[Tensor, "b h w d"], *, like: Float[Tensor, "d c 3 3"]
) -> Float[Tensor, "d c 3 3"]:
    height, width, wide = gradient.shape[1:]
    rows, columns = _grid(height, width)
    missing = (0, 0, 0, SIDE * columns - width, 0, SIDE * rows - height)
    whole = F.pad(gradient, missing) if any(missing) else gradient  # padded by nothing it would be copied
    places = whole.view(-1, rows, SIDE, columns, SIDE, wide).permute(0, 2, 4, 1, 3, 5)
    total = maps.new_zeros(36, maps.shape[-1], wide)
    taken, spread = _Kept(maps), _Kept(maps)
    for picture, strip, tiles in _strips(maps):
        size = tiles.shape[1] * wide
        part = places[picture, :, :, strip]
        own = taken.of(*part.shape).copy_(part).view(SIDE**2, size)
        own = torch.mm(_OF_RESULTS.T, own, out=spread.of(36, size)).view(36, -1, wide)
        total.baddbmm_(tiles.transpose(1, 2), own)
    found = (_OF_KERNELS.T @ total.view(36, -1)).view(3, 3, -1, wide)
    return torch.empty_like(like).copy_(found.permute(3, 2, 0, 1))


def _grid(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of tiles."""
    return -(-height // SIDE), -(-width // SIDE)


def _strips(maps: Float[Tensor, "b h w c"]) -> Iterator[tuple[int, slice, Float[Tensor, "36 t c"]]]:
    """A few rows of tiles after the other: picture, rows, and transformed cells, which the next strip overwrites."""
    batch, height, width, channels = maps.shape
    rows, columns = _grid(height, width)
    at_once = min(rows, -(-TILES // columns))
    cells = maps.new_zeros(SIDE * at_once + 2, SIDE * columns + 2, channels)
    taken, spread = _Kept(maps), _Kept(maps)
    for picture in range(batch):
        for start in range(0, rows, at_once):
            strip = slice(start, min(start + at_once, rows))
            top = SIDE * start - 1
            first, last = max(top, 0), min(top + len(cells), height)
            cells[: first - top].zero_()
            cells[first - top : last - top, 1 : width + 1].copy_(maps[picture, first:last])
            cells[last - top :].zero_()
            tiles = cells.unfold(0, CELLS, SIDE).unfold(1, CELLS, SIDE).permute(3, 4, 0, 1, 2)
            tiles = tiles[:, :, : strip.stop - start]
            own = taken.of(*tiles.shape).copy_(tiles).view(36, -1)
            yield picture, strip, torch.mm(_OF_CELLS, own, out=spread.of(*own.shape)).view(36, -1, channels)


class _Kept:
    """Memory that is used again, for at most as many numbers as at first."""

    def __init__(self, like: Tensor) -> None:
        self.memory = like.new_empty(0)

    def of(self, *shape: int) -> Tensor:
        """A tensor of that shape, filled with whatever was there."""
        size = math.prod(shape)
        if self.memory.numel() == 0:
            self.memory = self.memory.new_empty(size)
        return self.memory[:size].view(shape)
