"""How maps are laid out in memory: channel by channel, or all channels of a cell together ("channels last").

Both are dense. On a CPU the library is up to twenty times slower on maps that are neither, such as a slice of the
channels of a wider map, and on a map and a gradient with different layouts.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from segue.ops.recording import is_recorded


def concatenated(maps: Sequence[Float[Tensor, "b _ h w"]]) -> Float[Tensor, "b c h w"]:
    """Maps of one size concatenated along the channels; on a CPU each gets a dense gradient in its own layout.

    ``torch.cat`` returns slices of the whole gradient instead.
    """
    if maps[0].device.type != "cpu" or is_recorded():
        return torch.cat(list(maps), dim=1)
    return _Concatenation.apply(*maps)


class _Concatenation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *maps: Tensor) -> Tensor:
        ctx.layouts = [_layout(one) for one in maps]
        ctx.widths = [one.shape[1] for one in maps]
        return torch.cat(maps, dim=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        parts = gradients[0].split(ctx.widths, dim=1)
        wanted = zip(ctx.layouts, parts, ctx.needs_input_grad, strict=True)
        return tuple(part.contiguous(memory_format=layout) if need else None for layout, part, need in wanted)


def _layout(maps: Tensor) -> torch.memory_format:
    last = torch.channels_last
    return last if maps.is_contiguous(memory_format=last) else torch.contiguous_format
