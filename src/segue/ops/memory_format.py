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


def concatenated(
    maps: Sequence[Float[Tensor, "b _ h w"]], *, layout: torch.memory_format | None = None
) -> Float[Tensor, "b c h w"]:
    """Maps of one size concatenated along the channels; on a CPU each gets a dense gradient in its own layout.

    ``torch.cat`` returns slices of the whole gradient instead. A ``layout`` decides that of the result on a CPU.
    """
    if maps[0].device.type != "cpu" or is_recorded():
        return torch.cat(list(maps), dim=1)
    return _Concatenation.apply(layout, *maps)


def relaid(maps: Float[Tensor, "b c h w"], layout: torch.memory_format) -> Float[Tensor, "b c h w"]:
    """The same map in another layout; on a CPU its gradient gets the map's own layout. Elsewhere nothing happens."""
    if maps.device.type != "cpu" or maps.is_contiguous(memory_format=layout):
        return maps
    return concatenated([maps], layout=layout)


class _Concatenation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, layout: torch.memory_format | None, *maps: Tensor) -> Tensor:
        ctx.layouts = [_layout(one) for one in maps]
        ctx.widths = [one.shape[1] for one in maps]
        if layout is None:
            return torch.cat(maps, dim=1)
        # Narrow maps are converted one by one: converting a wide one takes longer than that, as its cache lines clash.
        whole = _empty_like(maps[0], sum(ctx.widths), layout)
        for part, place in zip(maps, whole.split(ctx.widths, dim=1), strict=True):
            place.copy_(part)
        return whole

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        parts = gradients[0].split(ctx.widths, dim=1)
        wanted = zip(ctx.layouts, parts, ctx.needs_input_grad[1:], strict=True)
        return None, *(
            part.contiguous(memory_format=layout) if need else None for layout, part, need in wanted
        )


def _layout(maps: Tensor) -> torch.memory_format:
    last = torch.channels_last
    return last if maps.is_contiguous(memory_format=last) else torch.contiguous_format


def _empty_like(maps: Tensor, channels: int, layout: torch.memory_format) -> Tensor:
    size = (maps.shape[0], channels, *maps.shape[2:])
    return torch.empty(size, dtype=maps.dtype, device=maps.device, memory_format=layout)
