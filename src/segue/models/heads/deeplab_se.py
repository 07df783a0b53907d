"""DeepLabV2's head grown deeper: a pyramid whose channels are weighed, once or for two predictions."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from segue.models.heads.context import fitted_together
from segue.models.heads.head import Head
from segue.models.layers import PointwiseConv
from segue.models.settings import NetworkSettings
from segue.ops.memory_format import concatenated
from segue.types import Supervised

DILATIONS = (1, 6, 12, 18, 24)

WIDEST = 256
"""Channels of a branch, where the head is not narrower."""


class DeepLabSeHead(Head):
    """A dilated pyramid with group norms and squeeze and excitation, from the coarsest map to a wide embedding.

    With an auxiliary prediction there are two such heads: one sees the third map, and the network's own sees the third
    map along with the coarsest. In evaluation mode both predict as one, by the sum of their logits times their shares;
    in training mode each is supervised by itself.

    Source: Seg-Uncertainty (Zheng and Yang, 2020), whose width is 512 and whose auxiliary share is 0.5; ProDA has
    the single form with a width of 256.
    """

    stride = 8
    has_auxiliary = True

    def __init__(self, in_channels: Sequence[int], num_classes: int, settings: NetworkSettings) -> None:
        super().__init__(in_channels, num_classes, settings)
        *_, third, coarsest = in_channels
        self.share = settings.auxiliary
        self.main = Pyramid(coarsest + (third if self.share else 0), num_classes, settings)
        if self.share is not None:
            self.second = Pyramid(third, num_classes, settings)

    def forward(self, features: list[Tensor]) -> tuple[Float[Tensor, "b k h w"], Float[Tensor, "b d h w"]]:
        """Logits on the third map's grid (on the coarsest one's without an auxiliary prediction), and the embedding."""
        if self.share is None:
            return self.main(features[-1])
        logits, embedding = self.main(fitted_together(features[-2:]))
        if not self.training:
            logits = logits + self.share * self.second(features[-2])[0]
        return logits, embedding

    def auxiliary(self, features: list[Tensor]) -> list[Supervised]:
        """What the third map alone says, if the settings ask for it."""
        if self.share is None:
            return []
        return [Supervised(self.second(features[-2])[0], share=self.share)]


class Pyramid(nn.Module):
    """Parallel dilated convolutions, their channels weighed by the picture as a whole, fused and classified."""

    def __init__(self, in_channels: int, num_classes: int, settings: NetworkSettings) -> None:
        super().__init__()
        channels = settings.channels
        branch = min(WIDEST, channels)
        self.branches = nn.ModuleList(
            nn.Sequential(_convolution(in_channels, branch, dilation), _norm(branch), nn.ReLU(inplace=True))
            for dilation in DILATIONS
        )
        self.excitation = Excitation(len(DILATIONS) * branch)
        self.fuse = nn.Sequential(nn.Conv2d(len(DILATIONS) * branch, channels, 3, padding=1), _norm(channels))
        self.dropout = nn.Dropout2d(settings.dropout)
        self.classifier = nn.Conv2d(channels, num_classes, 1, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(self, maps: Float[Tensor, "b c h w"]) -> tuple[Tensor, Tensor]:
        """Logits, and the embedding before dropout."""
        embedding = self.fuse(self.excitation(concatenated([branch(maps) for branch in self.branches])))
        return self.classifier(self.dropout(embedding)), embedding


class Excitation(nn.Module):
    """Weighs channels by what they hold on the mean of the picture.

    Source: Squeeze and excitation (Hu et al., CVPR 2018), with its reduction of 16.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        narrow = max(1, channels // reduction)
        self.layers = nn.Sequential(
            nn.Linear(channels, narrow), nn.ReLU(inplace=True), nn.Linear(narrow, channels), nn.Sigmoid()
        )

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The same map, every channel times a number in (0, 1)."""
        return maps * self.layers(maps.mean((2, 3)))[:, :, None, None]


def _convolution(in_channels: int, out_channels: int, dilation: int) -> nn.Conv2d:
    if dilation == 1:
        return PointwiseConv(in_channels, out_channels, 1)
    return nn.Conv2d(in_channels, out_channels, 3, padding=dilation, dilation=dilation)


def _norm(channels: int) -> nn.GroupNorm:
    """The official 32 groups, or fewer in a narrow head, so that a group holds several channels."""
    groups = min(32, max(1, channels // 4))
    return nn.GroupNorm(next(count for count in range(groups, 0, -1) if channels % count == 0), channels)
