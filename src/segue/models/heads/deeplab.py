"""DeepLab's heads: the second version's sum of dilated classifiers, and the third's pyramid with a decoder."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segue.models.heads.context import SeparableConvNorm, conv_norm_of_parts, pyramid_branch
from segue.models.heads.head import Head
from segue.models.layers import ConvNorm
from segue.models.settings import NetworkSettings
from segue.ops.memory_format import concatenated
from segue.ops.resize import resize
from segue.types import Supervised

BRANCHES: dict[str, tuple[int, ...]] = {"two": (6, 12), "four": (6, 12, 18, 24)}
"""Dilations of DeepLabV2's branches by the name of the head's context: 6 and 12, or 18 and 24 as well."""

PYRAMID = (1, 12, 24, 36)

FINE_CHANNELS = 48
"""Channels to which DeepLabV3+ reduces the finest map."""


class DeepLabV2Head(Head):
    """Parallel dilated 3x3 convolutions from the coarsest map straight to logits, summed.

    There is no map of its own before the classifier, so the embedding is the encoder's coarsest map. Parameter
    names are those of DAFormer's DeepLabV2 configurations.

    Source: DeepLab (Chen et al., TPAMI 2018), section 3.2; https://arxiv.org/abs/1606.00915. The auxiliary prediction,
    the same classifiers on the third map, is AdaptSegNet's (Tsai et al., CVPR 2018).

    Note:
        AdaptSegNet's code, and what descends from it, returns inside the loop over its branches, so that only
        the first two ever contribute. That is "two", which DACS and DAFormer's comparison follow; ADVENT, FDA
        and CRST sum all four. Official code enlarges these logits with aligned corners in the AdaptSegNet
        family, without in DAFormer's, which is followed here.
    """

    stride = 8
    contexts = tuple(BRANCHES)
    has_auxiliary = True

    def __init__(self, in_channels: Sequence[int], num_classes: int, settings: NetworkSettings) -> None:
        super().__init__(in_channels, num_classes, settings)
        self.embedding_channels = in_channels[-1]
        self.aspp_modules = self._classifiers(in_channels[-1], num_classes)
        self.auxiliary_share = settings.auxiliary
        if settings.auxiliary is not None:
            self.auxiliary_modules = self._classifiers(in_channels[-2], num_classes)

    def forward(self, features: list[Tensor]) -> tuple[Float[Tensor, "b k h w"], Float[Tensor, "b d h w"]]:
        """Logits on the coarsest map's grid, and that map."""
        return summed(self.aspp_modules, features[-1]), features[-1]

    def auxiliary(self, features: list[Tensor]) -> list[Supervised]:
        """What the third map alone says, if the settings ask for it."""
        if self.auxiliary_share is None:
            return []
        return [Supervised(summed(self.auxiliary_modules, features[-2]), share=self.auxiliary_share)]

    def _classifiers(self, in_channels: int, num_classes: int) -> nn.ModuleList:
        return dilated_classifiers(in_channels, num_classes, BRANCHES[self.context])


def dilated_classifiers(in_channels: int, out_channels: int, dilations: Sequence[int]) -> nn.ModuleList:
    """Dilated 3x3 convolutions straight to predictions, which are to be summed."""
    return nn.ModuleList(_classifier(in_channels, out_channels, dilation) for dilation in dilations)


def summed(classifiers: nn.ModuleList, maps: Tensor) -> Tensor:
    """The sum of what parallel layers make of a map."""
    return torch.stack([branch(maps) for branch in classifiers]).sum(dim=0)


def _classifier(in_channels: int, num_classes: int, dilation: int) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, num_classes, 3, padding=dilation, dilation=dilation)
    nn.init.normal_(convolution.weight, std=0.01)
    nn.init.zeros_(convolution.bias)  # pyright: ignore[reportArgumentType]
    return nn.Sequential(OrderedDict(conv=convolution))


class DeepLabV3PlusHead(Head):
    """A pyramid of separable dilated convolutions and the picture's mean, refined by the finest map.

    Only the first and the last map are used. Parameter names are those of DAFormer's DeepLabV3+ configuration, whose
    width is 512.

    Source: DeepLabV3+ (Chen et al., ECCV 2018), section 3.1; https://arxiv.org/abs/1802.02611.

    Note:
        The paper's dilations are 6, 12, 18 at stride 16; these are mmsegmentation's 12, 24, 36 at stride 8.
        A training batch needs two pictures: the mean of a single one cannot be normalised.
    """

    def __init__(self, in_channels: Sequence[int], num_classes: int, settings: NetworkSettings) -> None:
        super().__init__(in_channels, num_classes, settings)
        channels = settings.channels
        self.image_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), ConvNorm(in_channels[-1], channels))
        self.aspp_modules = nn.ModuleList(
            pyramid_branch(in_channels[-1], channels, dilation, separable=True) for dilation in PYRAMID
        )
        self.bottleneck = ConvNorm((len(self.aspp_modules) + 1) * channels, channels, kernel=3)
        self.c1_bottleneck = ConvNorm(in_channels[0], FINE_CHANNELS)
        self.sep_bottleneck = nn.Sequential(
            SeparableConvNorm(channels + FINE_CHANNELS, channels, dilation=1),
            SeparableConvNorm(channels, channels, dilation=1),
        )
        self.dropout = nn.Dropout2d(settings.dropout)
        self.conv_seg = nn.Conv2d(channels, num_classes, 1)
        nn.init.normal_(self.conv_seg.weight, std=0.01)
        nn.init.zeros_(self.conv_seg.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, features: list[Tensor]) -> tuple[Float[Tensor, "b k h w"], Float[Tensor, "b d h w"]]:
        """Logits and the embedding before dropout and classifier, on the finest map's grid."""
        finest, coarsest = features[0], features[-1]
        mean = self.image_pool(coarsest).expand(-1, -1, *coarsest.shape[-2:])
        branches = (branch(coarsest) for branch in self.aspp_modules)
        maps = conv_norm_of_parts(self.bottleneck, chain([mean], branches))
        maps = resize(maps, (finest.shape[-2], finest.shape[-1]))
        embedding = self.sep_bottleneck(concatenated([maps, self.c1_bottleneck(finest)]))
        return self.conv_seg(self.dropout(embedding)), embedding
