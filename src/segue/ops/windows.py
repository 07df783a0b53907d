"""Windows over a picture: where they lie, cutting them out, putting their predictions back together."""

import math
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

Window: TypeAlias = tuple[slice, slice]
"""The rows and columns of a picture that a window covers."""


def window_grid(size: tuple[int, int], window: tuple[int, int], *, stride: tuple[int, int]) -> list[Window]:
    """Windows that cover a picture, row by row; the last of each row and column is moved back to the border.

    Source: sliding inference of mmsegmentation, and the detail windows of HRDA (Hoyer et al., ECCV 2022).

    Args:
        size: Height and width of the picture.
        window: Height and width of a window; a smaller picture makes it smaller.
        stride: Rows and columns from one window to the next.

    Raises:
        ValueError: If a size is below 1, or the stride is larger than the window, which would leave gaps.
    """
    for length, side, step in zip(size, window, stride, strict=True):
        if length < 1 or not 1 <= step <= side:
            raise ValueError(
                f"no windows of {side} every {step} over {length} pixels: stride must be 1 to {side}"
            )
    rows = _starts(size[0], window[0], stride[0])
    columns = _starts(size[1], window[1], stride[1])
    height, width = min(window[0], size[0]), min(window[1], size[1])
    return [(slice(y, y + height), slice(x, x + width)) for y in rows for x in columns]


def _starts(length: int, side: int, step: int) -> list[int]:
    last = max(length - side, 0)
    return [min(index * step, last) for index in range(math.ceil(last / step) + 1)]


def cut(maps: Float[Tensor, "b c h w"], windows: Sequence[Window]) -> Float[Tensor, "n b c h2 w2"]:
    """The pieces of pictures under windows of one size, window by window."""
    return torch.stack([maps[..., rows, columns] for rows, columns in windows])


def assemble(
    pieces: Iterable[Float[Tensor, "b c h2 w2"]],
    windows: Sequence[Window],
    *,
    size: tuple[int, int],
    weight: Float[Tensor, "h2 w2"] | None = None,
) -> Float[Tensor, "b c h w"]:
    """Put pieces back in their places; where they overlap, take their weighted mean.

    Pieces are read one at a time: a generator of predictions needs the memory of one piece and one picture.

    Args:
        pieces: One for each window, in their order.
        windows: Together they cover the picture.
        size: Height and width of the picture.
        weight: A piece's positive weight at each of its pixels; None for 1 everywhere.

    Raises:
        ValueError: If there are no windows, or more or fewer pieces than windows.
    """
    canvas: Tensor | None = None
    count: Tensor | None = None
    for piece, (rows, columns) in zip(pieces, windows, strict=True):
        if canvas is None or count is None:
            canvas = piece.new_zeros(*piece.shape[:2], *size)
            count = piece.new_zeros(size)
        canvas[..., rows, columns] += piece if weight is None else piece * weight
        count[rows, columns] += 1.0 if weight is None else weight
    if canvas is None or count is None:
        raise ValueError("no windows: nothing to assemble")
    return canvas.div_(count)


def taper(
    window: tuple[int, int], stride: tuple[int, int], *, device: torch.device | None = None
) -> Float[Tensor, "h w"]:
    """Weights in (0, 1] that fall off smoothly where a window overlaps its neighbours, so that no seam shows.

    A raised cosine over the overlap: the weights of two neighbours sum to 1.

    Args:
        window: Height and width of a window.
        stride: Rows and columns from one window to the next, at most the window's.
    """
    rows, columns = (_ramp(side, side - step, device) for side, step in zip(window, stride, strict=True))
    return rows[:, None] * columns[None, :]


def _ramp(side: int, overlap: int, device: torch.device | None) -> Float[Tensor, " s"]:
    middle = torch.arange(side, device=device, dtype=torch.float32) + 0.5
    from_border = torch.minimum(middle, side - middle)
    # With more than half overlapping, the ramps of both borders meet in the middle; half a pixel means no ramp.
    reach = max(min(overlap, side / 2), 0.5)
    return torch.sin(0.5 * math.pi * (from_border / reach).clamp(max=1.0)).square()  # sin² + cos² = 1
