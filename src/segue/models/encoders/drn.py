"""DRN: a residual network that dilates instead of shrinking, and ends in plain layers of falling dilation."""

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from segue.models.encoders.encoder import Encoder, Variant
from segue.models.encoders.resnet import EXPANSION

LEVELS = ((16, 1, 1), (32, 2, 1), (64, 2, 1), (128, 2, 1), (256, 1, 2), (512, 1, 4), (512, 1, 2), (512, 1, 1))
"""Channels, stride and dilation of levels 1 to 8; blocks of levels 3 to 6 are four times as wide."""

RESIDUAL = range(3, 7)
"""The levels made of bottleneck blocks; the others are plain convolutions."""

MAPS = (3, 4, 6, 8)
"""The levels whose maps a head gets: the first is DeepLabV3+'s fine map, the last its coarse one."""


class DilatedResNet(Encoder):
    """Bottleneck blocks up to stride 8 and a dilation of 4, then convolutions of falling dilation without a residual.

    Parameter names are those of the published weights.

    Source: DRN-D (Yu et al., CVPR 2017), section 4; https://arxiv.org/abs/1705.09914.

    Args:
        depths: Layers or blocks of levels 1 to 8: (1, 1, 3, 4, 6, 3, 1, 1) for DRN-D-54.
    """

    strides = (4, 8, 8, 8)
    classifier_names = ("fc.",)

    def __init__(self, depths: Sequence[int]) -> None:
        super().__init__()
        self.layer0 = nn.Sequential(*_conv_norm(3, 16, kernel=7))
        width, widths = 16, dict[int, int]()
        for level, ((channels, stride, dilation), depth) in enumerate(zip(LEVELS, depths, strict=True), 1):
            layers: list[nn.Module] = []
            for place in range(depth):
                own = stride if place == 0 else 1
                if level in RESIDUAL:
                    layers.append(DilatedBlock(width, channels, stride=own, dilation=dilation))
                    width = channels * EXPANSION
                else:
                    layers += _conv_norm(width, channels, stride=own, dilation=dilation)
                    width = channels
            self.add_module(f"layer{level}", nn.Sequential(*layers))
            widths[level] = width
        self.out_channels = tuple(widths[level] for level in MAPS)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """The maps of levels 3, 4, 6 and 8: one at stride 4, three at stride 8."""
        maps, features = self.layer0(image), list[Tensor]()
        for level in range(1, len(LEVELS) + 1):
            maps = self.get_submodule(f"layer{level}")(maps)
            if level in MAPS:
                features.append(maps)
        return features


class DilatedBlock(nn.Module):
    """A 1x1, a dilated 3x3 and a 1x1 convolution, each with batch normalisation, added to the input."""

    def __init__(self, in_channels: int, channels: int, *, stride: int, dilation: int) -> None:
        super().__init__()
        wide = channels * EXPANSION
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(
            channels, channels, 3, stride=stride, padding=dilation, dilation=dilation, bias=False
        )
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, wide, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(wide)
        self.downsample = (
            nn.Sequential(nn.Conv2d(in_channels, wide, 1, stride=stride, bias=False), nn.BatchNorm2d(wide))
            if in_channels != wide or stride != 1
            else nn.Identity()
        )

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """A map of the same size, or of half of it."""
        branch = F.relu(self.bn1(self.conv1(maps)), inplace=True)
        branch = F.relu(self.bn2(self.conv2(branch)), inplace=True)
        return F.relu(self.bn3(self.conv3(branch)) + self.downsample(maps), inplace=True)


def _conv_norm(
    in_channels: int, out_channels: int, *, kernel: int = 3, stride: int = 1, dilation: int = 1
) -> list[nn.Module]:
    padding = dilation * (kernel // 2)
    convolution = nn.Conv2d(
        in_channels, out_channels, kernel, stride=stride, padding=padding, dilation=dilation, bias=False
    )
    return [convolution, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]


VARIANTS = {"drn_d_54": Variant(lambda drop_path: DilatedResNet((1, 1, 3, 4, 6, 3, 1, 1)))}
