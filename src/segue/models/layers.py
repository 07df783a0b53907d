"""Layers that encoders and heads share: linear layers over maps, 1x1 and dilated convolutions with normalisation."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from segue.ops.dilation import dilated_depthwise
from segue.ops.recording import is_recorded
from segue.ops.winograd import convolved


class TokenLinear(nn.Linear):
    """A linear layer over the last axis of a channels-last grid of tokens.

    On a CPU it runs as a 1x1 convolution with the same numbers: on processors with AVX-512 the convolution library is
    about twice as fast as matrix multiplication, on older ones they are equal. On other devices convolution is slower.
    Which it is does not depend on a measurement: a run that goes on might then take the other, and not be bit-equal.
    Tokens without a grid are multiplied. The parameters are those of ``nn.Linear``, reshaped without a copy.
    """

    def forward(self, input: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w d"]:
        """Transform every token."""
        if input.device.type != "cpu" or input.ndim != 4:
            return F.linear(input, self.weight, self.bias)
        maps = pointwise(input.permute(0, 3, 1, 2), self.weight[:, :, None, None], self.bias)
        return maps.permute(0, 2, 3, 1)


class PointwiseConv(nn.Conv2d):
    """A 1x1 convolution."""

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Transform every cell."""
        return pointwise(input, self.weight, self.bias)


def pointwise(
    maps: Float[Tensor, "b c h w"], weight: Float[Tensor, "d c 1 1"], bias: Float[Tensor, " d"] | None = None
) -> Float[Tensor, "b d h w"]:
    """A 1x1 convolution that is also fast with one thread.

    On a CPU with one thread PyTorch leaves 1x1 convolutions of fewer than sixteen pictures to matrix multiplication,
    which takes up to twice as long. As no cell sees another one, rows can be passed as pictures.
    """
    batch, channels, height, width = maps.shape
    is_last = maps.is_contiguous(memory_format=torch.channels_last)
    if is_recorded() or maps.device.type != "cpu":  # asking for threads would end a compiled graph
        return F.conv2d(maps, weight, bias)
    if not (torch.get_num_threads() == 1 and is_last):
        return F.conv2d(maps, weight, bias)
    rows = maps.permute(0, 2, 3, 1).view(batch * height, 1, width, channels).permute(0, 3, 1, 2)
    convolved = F.conv2d(rows, weight, bias).permute(0, 2, 3, 1)
    return convolved.reshape(batch, height, width, len(weight)).permute(0, 3, 1, 2)


class DilatedDepthwise(nn.Conv2d):
    """A dilated depth-wise 3x3 convolution that keeps the size of its map."""

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Convolve each channel on its own."""
        return dilated_depthwise(input, self.weight, dilation=self.dilation[0])


class SquareConv(nn.Conv2d):
    """A 3x3 convolution that keeps the size of its map."""

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Convolve all channels together."""
        return convolved(input, self.weight)


class ConvNorm(nn.Module):
    """Convolution without bias, batch normalisation, ReLU; the size of the map is kept, so the kernel's side is odd."""

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel: int = 1, dilation: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        convolution = nn.Conv2d
        if kernel == groups == 1:
            convolution = PointwiseConv
        elif kernel == 3 and dilation == groups == 1:
            convolution = SquareConv
        elif dilation > 1 and groups == in_channels == out_channels:
            convolution = DilatedDepthwise
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
