"""DAFormer's head: levels made equally wide, enlarged, concatenated, and fused with or without context."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from segue.models.heads.context import Aspp, InterlacedAttention, PointwiseFusion
from segue.models.heads.head import Head
from segue.models.layers import LevelEmbedding
from segue.models.settings import NetworkSettings

FUSIONS: dict[str, Callable[[int, int], nn.Module]] = {
    "sepaspp": partial(Aspp, separable=True),
    "aspp": partial(Aspp, separable=False),
    "conv1": PointwiseFusion,
    "isa": InterlacedAttention,
    "sepaspp_bottleneck": PointwiseFusion,
}
"""How levels of one size are fused, by the head's context; "sepaspp_bottleneck" sees its surroundings earlier."""


class DaformerHead(Head):
    """The context-aware fusion head. Parameter names are the official ones.

    Source: DAFormer (Hoyer et al., CVPR 2022), section 3.2 and table 7 (the other contexts);
    https://arxiv.org/abs/2111.14887.

    Its contexts: "sepaspp" is the paper's; "aspp" is its non-separable form; "conv1" is a 1x1 convolution, without
    context; "isa" is sparse self-attention; "sepaspp_bottleneck" looks around on the coarsest level only.
    """

    contexts = tuple(FUSIONS)
    as_attention: ClassVar[dict[str, str]] = {"context": "conv1"}

    def __init__(self, in_channels: Sequence[int], num_classes: int, settings: NetworkSettings) -> None:
        super().__init__(in_channels, num_classes, settings)
        channels = settings.channels
        embeddings: list[nn.Module] = [LevelEmbedding(width, channels) for width in in_channels]
        if self.context == "sepaspp_bottleneck":
            narrow = nn.Conv2d(in_channels[-1], channels, 1)
            embeddings[-1] = nn.Sequential(narrow, Aspp(channels, channels, separable=True))
        self.embed_layers = nn.ModuleList(embeddings)
        self.fuse_layer = FUSIONS[self.context](len(in_channels) * channels, channels)
        self.dropout = nn.Dropout2d(settings.dropout)
        self.conv_seg = nn.Conv2d(channels, num_classes, 1)
        nn.init.normal_(self.conv_seg.weight, std=0.01)
        nn.init.zeros_(self.conv_seg.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, features: list[Tensor]) -> tuple[Float[Tensor, "b k h w"], Float[Tensor, "b d h w"]]:
        """Logits and the embedding before dropout and classifier, on the finest map's grid."""
        levels = [embed(level) for embed, level in zip(self.embed_layers, features, strict=True)]
        embedding = self.fuse_layer(*levels)
        return self.conv_seg(self.dropout(embedding)), embedding
