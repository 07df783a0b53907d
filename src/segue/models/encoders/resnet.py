"""ResNet as published, and with dilated last stages in the forms of DeepLab's tables: a deep stem, and Caffe's."""

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from segue.models.encoders.encoder import Encoder, Variant

STAGES = ((64, 1, 1), (128, 2, 1), (256, 1, 2), (512, 1, 4))
"""Channels, stride and dilation of the four stages; a block's output is four times as wide."""

EXPANSION = 4

TORCHVISION_STD = (58.395, 57.12, 57.375)
"""The divisors of red, green and blue, in 0 to 255, that torchvision's weights expect."""


class ResNet(Encoder):
    """Bottleneck blocks; the last two stages are dilated and stay at stride 8.

    The deep stem ("v1c") is three 3x3 convolutions; a block's 3x3 convolution carries its stride, and the first
    block of a dilated stage is dilated half as much as the others. Its names are mmsegmentation's.

    The Caffe form has one 7x7 convolution, its maximum pooling rounds up, a block's first 1x1 convolution carries
    its stride, and the scale and shift of batch normalisation are not trained while its statistics do move. An even
    side of n pixels gives n/4 + 1 cells where n/4 is whole: 512 pixels become 129 and then 65 cells. Its weights
    expect blue, green, red in 0 to 255 less their mean; red, green, blue are swapped here. It reads the "Scale."
    files, MS-COCO files and torchvision's. The latter expect divided colours: the first convolution is rescaled for
    that, which leaves means that differ by at most a grey level; they were also trained with the stride in the 3x3
    convolution.

    The plain form is torchvision's, with its names: one 7x7 convolution, no dilation, strides up to 32.

    Source: ResNet (He et al., CVPR 2016), DeepLab (Chen et al., TPAMI 2018); the deep stem is that of
    Bag of Tricks (He et al., CVPR 2019), figure 2b; https://arxiv.org/abs/1812.01187.

    Args:
        depths: Blocks of each stage: (3, 4, 6, 3) for 50 layers, (3, 4, 23, 3) for 101.
    """

    def __init__(self, depths: Sequence[int], *, caffe: bool = False, plain: bool = False) -> None:
        super().__init__()
        stages = (
            [(channels, 1 if i == 0 else 2, 1) for i, (channels, _, _) in enumerate(STAGES)]
            if plain
            else STAGES
        )
        self.out_channels = tuple(channels * EXPANSION for channels, _, _ in stages)
        self.strides = () if caffe else (4, 8, 16, 32) if plain else (4, 8, 8, 8)
        self.classifier_names = ("fc.", "layer5.", "layer6.")
        self.caffe = caffe
        self.deep_stem = not (caffe or plain)
        if not self.deep_stem:
            self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
            self.bn1 = nn.BatchNorm2d(64)
        else:
            self.stem = nn.Sequential(*_conv_norm(3, 32, stride=2), *_conv_norm(32, 32), *_conv_norm(32, 64))
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=caffe)
        width = 64
        for stage, (channels, stride, dilation) in enumerate(stages):
            blocks: list[nn.Module] = []
            for i in range(depths[stage]):
                contracted = dilation if caffe or i > 0 else max(1, dilation // 2)
                block = Bottleneck(
                    width, channels, stride=stride if i == 0 else 1, dilation=contracted, caffe=caffe
                )
                blocks.append(block)
                width = channels * EXPANSION
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.apply(_initialise)
        if caffe:
            self.apply(_freeze_norm)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """The maps of the four stages."""
        colours = image.flip(1) if self.caffe else image
        maps = self.stem(colours) if self.deep_stem else F.relu(self.bn1(self.conv1(colours)), inplace=True)
        maps = self.maxpool(maps)
        features: list[Tensor] = []
        for stage in range(1, len(STAGES) + 1):
            maps = self.get_submodule(f"layer{stage}")(maps)
            features.append(maps)
        return features

    def translated(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As for every encoder, without Caffe's prefix; torchvision's first convolution is given Caffe's colours."""
        plain = {name.removeprefix("Scale."): value for name, value in state.items()}
        own = super().translated(plain)
        if self.caffe and "fc.weight" in plain and "conv1.weight" in own:
            weight = own["conv1.weight"]
            own["conv1.weight"] = (weight / weight.new_tensor(TORCHVISION_STD)[:, None, None]).flip(1)
        return own


class Bottleneck(nn.Module):
    """A 1x1, a 3x3 and a 1x1 convolution, each with batch normalisation, added to the input."""

    def __init__(self, in_channels: int, channels: int, *, stride: int, dilation: int, caffe: bool) -> None:
        super().__init__()
        first, second = (stride, 1) if caffe else (1, stride)
        wide = channels * EXPANSION
        self.conv1 = nn.Conv2d(in_channels, channels, 1, stride=first, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(
            channels, channels, 3, stride=second, padding=dilation, dilation=dilation, bias=False
        )
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, wide, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(wide)
        self.downsample = (
            nn.Sequential(nn.Conv2d(in_channels, wide, 1, stride=stride, bias=False), nn.BatchNorm2d(wide))
            if in_channels != wide
            else nn.Identity()
        )

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """A map of the same size, or of half of it."""
        branch = F.relu(self.bn1(self.conv1(maps)), inplace=True)
        branch = F.relu(self.bn2(self.conv2(branch)), inplace=True)
        return F.relu(self.bn3(self.conv3(branch)) + self.downsample(maps), inplace=True)


def _conv_norm(in_channels: int, out_channels: int, *, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _freeze_norm(module: nn.Module) -> None:
    if isinstance(module, nn.BatchNorm2d):
        module.requires_grad_(False)


CAFFE_MEAN = (122.67891434, 116.66876762, 104.00698793)

VARIANTS = {
    "resnet50_v1c": Variant(lambda drop_path: ResNet((3, 4, 6, 3))),
    "resnet101_v1c": Variant(lambda drop_path: ResNet((3, 4, 23, 3))),
    "resnet50": Variant(lambda drop_path: ResNet((3, 4, 6, 3), plain=True)),
    "resnet101": Variant(lambda drop_path: ResNet((3, 4, 23, 3), plain=True)),
    "resnet101_caffe": Variant(
        lambda drop_path: ResNet((3, 4, 23, 3), caffe=True), mean=CAFFE_MEAN, std=(1.0, 1.0, 1.0)
    ),
}
