"""How heads fuse levels and add context: 1x1 convolution, dilated ones in parallel, sparse self-attention."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from segue.models.batch_norms import is_watched, statistics_kept
from segue.models.layers import ConvNorm, pointwise
from segue.ops.dilation import dilated_depthwise
from segue.ops.memory_format import concatenated
from segue.ops.recording import is_recorded
from segue.ops.resize import resize
from segue.ops.winograd import convolved

DILATIONS = (1, 6, 12, 18)

CHANNELS_AT_ONCE = 128


class PointwiseFusion(ConvNorm):
    """A 1x1 convolution of levels enlarged to the first one's size and concatenated, computed without either.

    Both commute with it, for the weights of a bilinear enlargement sum to one: every level is convolved where it is
    small, enlarged afterwards, and added.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels)

    def forward(self, maps: Float[Tensor, "b c h w"], *others: Tensor) -> Float[Tensor, "b d h w"]:
        """A map of the first level's size; the other levels are smaller, or as large."""
        weights = self.conv.weight.split([level.shape[1] for level in (maps, *others)], dim=1)
        total = pointwise(maps, weights[0])
        for level, weight in zip(others, weights[1:], strict=True):
            total = total.add_(resize(pointwise(level, weight), (maps.shape[-2], maps.shape[-1])))
        return F.relu(self.bn(total), inplace=True)


class SeparableConvNorm(nn.Module):
    """A dilated depth-wise 3x3 convolution, then a 1x1 one, each with batch normalisation and ReLU.

    The wide map between the two is made and used up a part of its channels at a time, and made again for the gradient:
    the same numbers in a fraction of the memory, which a teacher with many windows at once needs most.
    """

    def __init__(self, in_channels: int, out_channels: int, *, dilation: int) -> None:
        super().__init__()
        self.depthwise_conv = ConvNorm(
            in_channels, in_channels, kernel=3, dilation=dilation, groups=in_channels
        )
        self.pointwise_conv = ConvNorm(in_channels, out_channels)

    def forward(self, *maps: Float[Tensor, "b _ h w"]) -> Float[Tensor, "b d h w"]:
        """A map of the same size; several maps are taken for one with all of their channels."""
        norm, last = self.depthwise_conv.bn, self.pointwise_conv
        if is_recorded() or is_watched(norm) or type(norm) is not nn.BatchNorm2d:
            return last(self.depthwise_conv(concatenated(maps)))
        if norm.training and norm.track_running_stats and norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
        # Gradients of slices would each be as wide as the map.
        parts = maps if torch.is_grad_enabled() else _sliced(maps)
        widths = [part.shape[1] for part in parts]
        tensors = (
            self.depthwise_conv.conv.weight,
            norm.weight,
            norm.bias,
            norm.running_mean,
            norm.running_var,
        )
        groups = zip(
            parts,
            last.conv.weight.split(widths, dim=1),
            *(cast(Tensor, values).split(widths) for values in tensors),
            strict=True,
        )
        convolve = partial(self._of_part, norm.training)
        again = partial(_once, norm)
        total = None
        for group in groups:
            one = checkpoint(
                convolve, *group, use_reentrant=False, preserve_rng_state=False, context_fn=again
            )
            total = one if total is None else total.add_(one)
        return F.relu(last.bn(total), inplace=True)

    def _of_part(
        self,
        by_batch: bool,
        maps: Tensor,
        last: Tensor,
        kernels: Tensor,
        scale: Tensor,
        shift: Tensor,
        mean: Tensor,
        variance: Tensor,
    ) -> Tensor:
        """What a part of the channels adds to the 1x1 convolution's result."""
        conv, norm = self.depthwise_conv.conv, self.depthwise_conv.bn
        # A rate of zero leaves the running statistics as they are.
        rate = norm.momentum if norm.track_running_stats and norm.momentum else 0.0
        deep = dilated_depthwise(maps, kernels, dilation=conv.dilation[0])
        deep = F.batch_norm(deep, mean, variance, scale, shift, by_batch, rate, norm.eps)
        return pointwise(F.relu(deep, inplace=True), last)


def _sliced(maps: Sequence[Tensor]) -> list[Tensor]:
    return [part for one in maps for part in one.split(CHANNELS_AT_ONCE, dim=1)]


def _once(norm: nn.BatchNorm2d) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Around the first pass and the second: running statistics move once."""
    return nullcontext(), statistics_kept([norm])


class Aspp(nn.Module):
    """Atrous spatial pyramid pooling without its pooled branch: four dilations, then a 3x3 convolution.

    Source: DeepLabV3 (Chen et al., 2017), section 3.3, and DAFormer (Hoyer et al., CVPR 2022), section 3.2.

    Args:
        channels: Channels of every branch, and of what comes out.
        separable: Whether the dilated convolutions are depth-wise separable.
        dilations: One a branch; a branch of dilation 1 is a 1x1 convolution.
    """

    def __init__(
        self, in_channels: int, channels: int, *, separable: bool, dilations: Sequence[int] = DILATIONS
    ) -> None:
        super().__init__()
        self.separable = separable
        self.aspp_modules = nn.ModuleList(
            pyramid_branch(in_channels, channels, dilation, separable=separable) for dilation in dilations
        )
        self.bottleneck = ConvNorm(len(dilations) * channels, channels, kernel=3)

    def forward(self, *levels: Tensor) -> Float[Tensor, "b d h w"]:
        """A map of the first level's size, with context from all of them."""
        maps = fitted(levels) if self.separable else [fitted_together(levels)]
        branches = (
            branch(*(levels if isinstance(branch, PointwiseFusion) else maps)) for branch in self.aspp_modules
        )
        return conv_norm_of_parts(self.bottleneck, branches)


def fitted(levels: Sequence[Tensor]) -> list[Float[Tensor, "b _ h w"]]:
    """Maps of several sizes, all in the first one's."""
    size = (levels[0].shape[-2], levels[0].shape[-1])
    return [resize(level, size) for level in levels]


def fitted_together(levels: Sequence[Tensor]) -> Float[Tensor, "b c h w"]:
    """Maps of several sizes as one of the first one's size and all of their channels."""
    return concatenated(fitted(levels))


def _keeps_everything() -> bool:
    """Whether intermediate maps are kept anyway for gradients, or left to the exporter."""
    return torch.is_grad_enabled() or is_recorded()


def conv_norm_of_parts(layer: ConvNorm, parts: Iterable[Tensor]) -> Tensor:
    """A layer of 3x3 convolution on maps that follow one another along the channels.

    Without a gradient to keep they are never put together, so that memory is needed for one at a time: a convolution
    of a concatenation is the sum of convolutions of its parts.
    """
    if _keeps_everything():
        return layer(concatenated(list(parts)))
    total, start = None, 0
    for part in parts:
        one = convolved(part, layer.conv.weight[:, start : start + part.shape[1]])
        total = one if total is None else total.add_(one)
        start += part.shape[1]
    return F.relu(layer.bn(total), inplace=True)


def pyramid_branch(in_channels: int, channels: int, dilation: int, *, separable: bool) -> nn.Module:
    """One branch of a pyramid; of dilation 1 it is a 1x1 convolution."""
    if dilation == 1:
        return PointwiseFusion(in_channels, channels)
    if separable:
        return SeparableConvNorm(in_channels, channels, dilation=dilation)
    return ConvNorm(in_channels, channels, kernel=3, dilation=dilation)


class InterlacedAttention(nn.Module):
    """Self-attention in two sparse steps: among cells a block apart, then among the cells of a block.

    Source: Interlaced sparse self-attention (Huang et al., 2019), https://arxiv.org/abs/1907.12273, in the
    form of DAFormer's ablation of context modules.

    Args:
        channels: Channels of queries, keys, values and of what comes out.
        block: Side of a block in cells.
    """

    def __init__(self, in_channels: int, channels: int, *, block: int = 8) -> None:
        super().__init__()
        self.block = block
        self.in_conv = PointwiseFusion(in_channels, channels)
        self.global_relation = Relation(channels)
        self.local_relation = Relation(channels)

    def forward(self, *levels: Tensor) -> Float[Tensor, "b d h w"]:
        """A map of the first level's size; cells outside of it take part in attention as zeros."""
        maps = self.in_conv(*levels)
        height, width = maps.shape[-2:]
        block = self.block
        rows, columns = (height + block - 1) // block, (width + block - 1) // block
        spare_rows, spare_columns = rows * block - height, columns * block - width
        top, left = spare_rows // 2, spare_columns // 2
        maps = F.pad(maps, (left, spare_columns - left, top, spare_rows - top))
        batch, channels = maps.shape[:2]

        # 1. Cells at the same place of every block meet.
        cells = maps.view(batch, channels, rows, block, columns, block).permute(0, 3, 5, 1, 2, 4)
        cells = self.global_relation(cells.reshape(-1, channels, rows, columns))

        # 2. Cells of the same block meet.
        cells = cells.view(batch, block, block, channels, rows, columns).permute(0, 4, 5, 3, 1, 2)
        cells = self.local_relation(cells.reshape(-1, channels, block, block))

        # 3. Every cell goes back to its place.
        cells = cells.view(batch, rows, columns, channels, block, block).permute(0, 3, 1, 4, 2, 5)
        maps = cells.reshape(batch, channels, rows * block, columns * block)
        return maps[:, :, top : top + height, left : left + width]


class Relation(nn.Module):
    """Single-head self-attention over the cells of a map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.key_project = ConvNorm(channels, channels)
        self.query_project = ConvNorm(channels, channels)
        self.value_project = nn.Conv2d(channels, channels, 1)
        self.output_project = ConvNorm(channels, channels)

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """A map of the same size."""
        query, key, value = (
            project(maps).flatten(2).transpose(1, 2).unsqueeze(1)
            for project in (self.query_project, self.key_project, self.value_project)
        )
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.output_project(mixed.squeeze(1).transpose(1, 2).reshape(maps.shape))
