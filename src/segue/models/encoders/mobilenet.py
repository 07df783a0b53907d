"""MobileNetV2: a small convolutional encoder, with torchvision's parameter names."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segue.models.encoders.encoder import Encoder, Variant
from segue.models.layers import PointwiseConv

STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, blocks and stride of each group of blocks (the paper's table 2)."""

TAPS = (3, 6, 13, 17)
"""The blocks that give the four maps: the last ones before the next stride.

The last one is the 320-channel bottleneck at stride 32, not the 1x1 convolution to 1280 channels that follows
it in the classifier, which sees no more of the picture and would quadruple the head's width there.
"""


class MobileNetV2(Encoder):
    """Inverted residual blocks. Pictures come in as RGB/127.5 - 1.

    Source: MobileNetV2 (Sandler et al., CVPR 2018), table 2, width 1.0; https://arxiv.org/abs/1801.04381.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv_norm(3, 32, kernel=3, stride=2)]
        width = 32
        for expansion, channels, blocks, stride in STAGES:
            widths = [width, *[channels] * blocks]
            for i, (before, after) in enumerate(pairwise(widths)):
                layers.append(
                    InvertedResidual(before, after, stride=stride if i == 0 else 1, expansion=expansion)
                )
            width = channels
        self.features = nn.ModuleList(layers)
        self.out_channels = (24, 32, 96, 320)
        self.classifier_names = ("features.18.", "classifier.")
        self.apply(_initialise)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """The maps at strides 4, 8, 16 and 32."""
        features: list[Tensor] = []
        # Heads send their gradients back in this layout. On a CPU, batch normalisation of a map and a
        # gradient with different layouts is ten times slower, and residual sums would pass the mixture on.
        is_cpu = image.device.type == "cpu"
        maps = image.contiguous(memory_format=torch.channels_last) if is_cpu else image
        for i, layer in enumerate(self.features):
            maps = layer(maps)
            if i in TAPS:
                features.append(maps)
        return features


class InvertedResidual(nn.Module):
    """Widen, convolve depth-wise, narrow; added to the input if the shapes allow."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        widen = [] if expansion == 1 else [_conv_norm(in_channels, hidden)]
        self.conv = nn.Sequential(
            *widen,
            _conv_norm(hidden, hidden, kernel=3, stride=stride, groups=hidden),
            PointwiseConv(hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.is_residual = stride == 1 and in_channels == out_channels

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """A map of the same size, or of half of it."""
        return maps + self.conv(maps) if self.is_residual else self.conv(maps)


def _conv_norm(
    in_channels: int, out_channels: int, *, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    convolution = PointwiseConv if kernel == 1 else nn.Conv2d
    return nn.Sequential(
        convolution(
            in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False
        ),
        nn.BatchNorm2d(out_channels),
        nn.ReLU6(inplace=True),
    )


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")


HALF = (127.5, 127.5, 127.5)
VARIANTS = {"mobilenet_v2": Variant(lambda drop_path: MobileNetV2(), mean=HALF, std=HALF)}
