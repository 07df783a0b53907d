"""Layers that encoders and heads share: linear layers over maps, convolution with normalisation."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class TokenLinear(nn.Linear):
    """A linear layer over the last axis of a channels-last grid of tokens.

    On a CPU with several threads it runs as a 1x1 convolution of the same numbers: on processors with AVX-512 the
    convolution library is about twice as fast as matrix multiplication, on older ones they are equal. With one
    thread, and on other devices, convolution is slower.
    The parameters are those of ``nn.Linear``, reshaped without a copy.
    """

    def forward(self, input: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w d"]:
        """Transform every token."""
        if input.device.type != "cpu" or torch.get_num_threads() == 1:
            return F.linear(input, self.weight, self.bias)
        maps = F.conv2d(input.permute(0, 3, 1, 2), self.weight[:, :, None, None], self.bias)
        return maps.permute(0, 2, 3, 1)


class DilatedDepthwise(nn.Conv2d):
    """A dilated depth-wise 3x3 convolution that keeps the size of its map."""

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Convolve every channel by itself."""
        return dilated_depthwise(input, self.weight, dilation=self.dilation[0])


def dilated_depthwise(
    maps: Float[Tensor, "b c h w"], weight: Float[Tensor, "c 1 3 3"], *, dilation: int
) -> Float[Tensor, "b c h w"]:
    """Convolve every channel by itself with a dilated 3x3 kernel; the size of the map is kept.

    On a CPU the map is taken apart into ``dilation`` squared small ones of cells that far apart, and those
    are convolved without dilation: the same numbers, three to twenty times as fast, forward and backward.
    On maps that are small for their dilation those would be mostly padding, and the library's way is faster.
    """
    batch, channels, height, width = maps.shape
    # The library's gradient is slow on maps of one or two cells a side, so there are at least three.
    rows, columns = max(3, -(-height // dilation)), max(3, -(-width // dilation))
    if maps.device.type != "cpu" or rows * columns * dilation**2 > 2 * height * width:
        return F.conv2d(maps, weight, padding=dilation, dilation=dilation, groups=channels)
    spare = (0, 0, 0, columns * dilation - width, 0, rows * dilation - height)
    cells = F.pad(maps.permute(0, 2, 3, 1), spare).view(batch, rows, dilation, columns, dilation, channels)
    parts = cells.permute(0, 2, 4, 1, 3, 5).reshape(batch * dilation * dilation, rows, columns, channels)
    parts = F.conv2d(parts.permute(0, 3, 1, 2), weight, padding=1, groups=channels)
    parts = parts.permute(0, 2, 3, 1)
    cells = parts.reshape(batch, dilation, dilation, rows, columns, channels).permute(0, 3, 1, 4, 2, 5)
    cells = cells.reshape(batch, rows * dilation, columns * dilation, channels)
    return cells[:, :height, :width].permute(0, 3, 1, 2)


class ConvNorm(nn.Module):
    """Convolution without bias, batch normalisation, ReLU; the size of the map is kept.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out.
        kernel: Side of the kernel, odd.
        dilation: Distance between the kernel's taps.
        groups: As in ``nn.Conv2d``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel: int = 1, dilation: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        convolution = (
            DilatedDepthwise if dilation > 1 and groups == in_channels == out_channels else nn.Conv2d
        )
        self.conv = convolution(
            in_channels, out_channels, kernel, padding=padding, dilation=dilation, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(out_channels)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Convolve, normalise, rectify."""
        return F.relu(self.bn(self.conv(maps)), inplace=True)


class LevelEmbedding(nn.Module):
    """A linear layer over the channels of one encoder map; named as in the official heads."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.proj = TokenLinear(in_channels, out_channels)

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """A map of the same size with other channels, in channels-last layout."""
        return self.proj(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
