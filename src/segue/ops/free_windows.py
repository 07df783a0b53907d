"""Windows over a picture whose size is not known yet: what ``ops.windows`` does, as one graph for every size.

Sizes are tensors here, as an exporter hands them out, and all windows are there at once.
"""

from typing import cast

import torch
from jaxtyping import Float, Integer
from torch import Tensor


def extended(image: Float[Tensor, "b c h w"], *, multiple: int, least: int) -> Float[Tensor, "b c h2 w2"]:
    """A picture whose last row and column are repeated until its sides are multiples, and at least of a length."""
    for axis in (2, 3):
        side = torch.as_tensor(image.shape[axis])
        wanted = torch.div(side + multiple - 1, multiple, rounding_mode="floor") * multiple
        wanted = torch.maximum(wanted, torch.as_tensor(least))
        image = image.index_select(axis, torch.minimum(_places(wanted), side - 1))
    return image


def window_lines(length: Tensor, side: int, step: int) -> Integer[Tensor, "n s"]:
    """The rows, or the columns, of each window along one side of a picture, as ``window_grid`` places them.

    Args:
        length: The picture's side, a scalar of integers.
        side: The window's; a smaller picture makes it smaller.
        step: From one window to the next.
    """
    last = torch.clamp(length - side, min=0)
    count = torch.div(last + step - 1, step, rounding_mode="floor") + 1
    starts = torch.minimum(_places(count) * step, last)
    inside = _places(torch.minimum(torch.as_tensor(side), length))
    return starts[:, None] + inside


def cut_free(
    maps: Float[Tensor, "b c h w"], rows: Integer[Tensor, "n s"], columns: Integer[Tensor, "m t"]
) -> Float[Tensor, "p c s t"]:
    """All windows of all pictures as one batch: row by row of windows, and for each window picture by picture."""
    pieces = maps.index_select(2, rows.flatten()).index_select(3, columns.flatten())
    pieces = pieces.reshape(
        maps.shape[0], maps.shape[1], rows.shape[0], rows.shape[1], columns.shape[0], columns.shape[1]
    )
    pieces = pieces.permute(2, 4, 0, 1, 3, 5)
    return pieces.reshape(-1, maps.shape[1], rows.shape[1], columns.shape[1])


def assemble_free(
    pieces: Float[Tensor, "p k s t"],
    rows: Integer[Tensor, "n s"],
    columns: Integer[Tensor, "m t"],
    *,
    size: tuple[Tensor, Tensor],
) -> Float[Tensor, "b k h w"]:
    """Put the pieces of :func:`cut_free` back; where they overlap, take their mean.

    A window's rows do not depend on its columns, so adding up is a product of matrices from either side.
    """
    channels = pieces.shape[1]
    pieces = pieces.reshape(
        rows.shape[0], columns.shape[0], -1, channels, rows.shape[1], columns.shape[1]
    ).permute(2, 3, 0, 4, 1, 5)
    lines = pieces.reshape(-1, channels, rows.shape[0] * rows.shape[1], columns.shape[0] * columns.shape[1])
    down, across = (
        (_places(side)[:, None] == places.flatten()[None]).to(pieces.dtype)
        for side, places in zip(size, (rows, columns), strict=True)
    )
    down, across = (matrix / matrix.sum(1, keepdim=True) for matrix in (down, across))
    return down @ lines @ across.transpose(0, 1)


def pooled_free(maps: Float[Tensor, "b c h w"], size: tuple[Tensor, Tensor]) -> Float[Tensor, "b c h2 w2"]:
    """``adaptive_avg_pool2d`` to a size that is not known yet: each cell's mean, as matrices from either side."""
    down, across = (
        _shares(torch.as_tensor(side), torch.as_tensor(wanted))
        for side, wanted in zip(maps.shape[-2:], size, strict=True)
    )
    return down.to(maps.dtype) @ maps @ across.to(maps.dtype).transpose(0, 1)


def enlarged_free(maps: Float[Tensor, "b c h w"], size: tuple[Tensor, Tensor]) -> Float[Tensor, "b c h2 w2"]:
    """``interpolate`` with ``mode="bicubic", antialias=True`` to a size that is not known yet."""
    down, across = (
        _cubic(side, torch.as_tensor(wanted)) for side, wanted in zip(maps.shape[-2:], size, strict=True)
    )
    return down @ maps @ across.transpose(0, 1)


def _cubic(side: int, wanted: Tensor) -> Float[Tensor, "m n"]:
    """How much each of ``side`` rows counts in each of the ``wanted`` ones: Keys' kernel of a = -0.5."""
    scale = side / wanted
    places = torch.arange(side, dtype=torch.float32)
    away = (places + 0.5 - scale * (_places(wanted)[:, None] + 0.5)) / torch.clamp(scale, min=1.0)
    away = away.abs()
    near = (1.5 * away - 2.5) * away * away + 1
    far = ((-0.5 * away + 2.5) * away - 4) * away + 2
    weight = torch.where(away <= 1, near, torch.where(away < 2, far, torch.zeros_like(away)))
    return weight / weight.sum(1, keepdim=True)


def _shares(side: Tensor, wanted: Tensor) -> Float[Tensor, "m n"]:
    """How much each of ``side`` rows counts in each of the ``wanted`` ones, which may overlap by one."""
    cell, place = _places(wanted)[:, None], _places(side)[None]
    first = torch.div(cell * side, wanted, rounding_mode="floor")
    end = torch.div((cell + 1) * side + wanted - 1, wanted, rounding_mode="floor")
    inside = ((place >= first) & (place < end)).float()
    return inside / inside.sum(1, keepdim=True)


def _places(count: Tensor) -> Integer[Tensor, " n"]:
    """0 to before a scalar of integers, which an exporter follows although the declared type wants a number."""
    return torch.arange(cast(int, count))
