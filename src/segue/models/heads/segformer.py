"""SegFormer's head: every level made equally wide, enlarged, concatenated and mixed by 1x1 convolutions."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from segue.models.heads.context import PointwiseFusion
from segue.models.heads.head import Head
from segue.models.layers import LevelEmbedding


class SegformerHead(Head):
    """The all-MLP head, in the variant of DAFormer's repository: levels are concatenated fine to coarse.

    The original concatenates coarse to fine; ``models.naming`` permutes its weights. The classifier
    ``conv_seg`` that official files hold beside ``linear_pred`` is never used and does not exist here.

    Source: SegFormer (Xie et al., NeurIPS 2021), section 3.2; https://arxiv.org/abs/2105.15203.

    Args:
        channels: Width of every level and of the embedding.
        dropout: Probability of dropping a channel before the classifier.
    """

    def __init__(
        self, in_channels: Sequence[int], num_classes: int, *, channels: int = 256, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.embedding_channels = channels
        self.linear_c = nn.ModuleList(LevelEmbedding(width, channels) for width in in_channels)
        self.linear_fuse = PointwiseFusion(len(in_channels) * channels, channels)
        self.dropout = nn.Dropout2d(dropout)
        self.linear_pred = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: list[Tensor]) -> tuple[Float[Tensor, "b k h w"], Float[Tensor, "b d h w"]]:
        """Logits and the embedding before dropout and classifier, on the finest map's grid."""
        levels = [embed(level) for embed, level in zip(self.linear_c, features, strict=True)]
        embedding = self.linear_fuse(*levels)
        return self.linear_pred(self.dropout(embedding)), embedding
