"""Train the student on a second decoding, of features that have looked at those of a frozen SAM encoder."""

import contextlib
from collections.abc import Sequence
from typing import Literal, cast

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from segue.methods.method import Term
from segue.methods.teacher import Frozen
from segue.models.batch_norms import batch_norms, statistics_kept
from segue.models.segmenter import segmentation_loss
from segue.types import Output, Supervised, View


class SamRegularizer(Term):
    """Cross-attention from the student's features to SAM's, decoded and supervised like the plain features.

    Nothing of it is left after training: the student alone is saved. Under two resolutions it is the context's
    features that look at SAM's, and the context's prediction that is supervised.

    Source: SSR (paper and official code): four linear projections of SAM's tokens, four cross-attentions without
    norm, dropout or positions, both predictions supervised with weight 1. Parameter names are the official ones.

    Args:
        sam: From a normalised image to SAM's map; held outside parameters and state.
        sam_channels: Channels of that map.
        channels: Of the student's four maps.
        heads: Of the four cross-attentions.
        stages: Which maps look at SAM's, from 1; the others pass unchanged.
        share: The second prediction's share of the loss.
        zero_init: Start with features that look at SAM's without being changed by them (off in the official code).
        bn_update: "both": the decoder's running statistics also see the changed features, as in the official
            code; "plain_only" leaves them to the features that inference uses.
        views: The views that are decoded twice.
    """

    view_names: tuple[str, ...] = ("source", "target")

    def __init__(
        self,
        sam: nn.Module,
        *,
        sam_channels: int,
        channels: Sequence[int],
        heads: Sequence[int] = (1, 2, 5, 8),
        stages: Sequence[int] = (1, 2, 3, 4),
        share: float = 1.0,
        zero_init: bool = False,
        bn_update: Literal["both", "plain_only"] = "both",
        views: tuple[str, ...] = ("source", "target"),
    ) -> None:
        super().__init__()
        self.view_names = views
        self.sam = Frozen(sam)
        self.stages = tuple(stages)
        self.share = share
        self.bn_update: Literal["both", "plain_only"] = bn_update
        self.embedding_layer = nn.ModuleList(SamProjection(sam_channels, width) for width in channels)
        self.fusion_layer = nn.ModuleList(
            CrossAttention(width, count) for width, count in zip(channels, heads, strict=True)
        )
        if zero_init:
            for layer in self.fusion_layer:
                projection = cast(nn.Linear, layer.proj)
                nn.init.zeros_(projection.weight)
                nn.init.zeros_(projection.bias)

    def forward(self, network: nn.Module, view: View, output: Output) -> dict[str, Tensor]:
        """The segmentation loss of what the head makes of the changed features."""
        seen = self.fused(output.features, cast(Tensor, self.sam(view.image)))
        head = cast(nn.Module, network.head)
        with (
            statistics_kept(batch_norms(head)) if self.bn_update == "plain_only" else contextlib.nullcontext()
        ):
            logits: Tensor = head(seen)[0]
        regularised = Output(logits, seen, logits, [Supervised(logits)])
        return {"sam": self.share * segmentation_loss(regularised, view)}

    def fused(self, features: Sequence[Tensor], sam: Float[Tensor, "b d h w"]) -> list[Tensor]:
        """The four maps after looking at SAM's; those of other stages are the same tensors.

        Args:
            features: Fine to coarse, (B,C,H,W).
            sam: SAM's map of the same pictures.
        """
        tokens = sam.flatten(2).transpose(1, 2)
        seen = list(features)
        for stage in self.stages:
            at = stage - 1
            seen[at] = self.fusion_layer[at](features[at], self.embedding_layer[at](tokens))
        return seen


class SamProjection(nn.Module):
    """SAM's tokens as wide as a stage; a module of its own for its official name."""

    def __init__(self, sam_channels: int, channels: int) -> None:
        super().__init__()
        self.proj = nn.Linear(sam_channels, channels)

    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b n c"]:
        """Tokens of the stage's width."""
        return self.proj(tokens)


class CrossAttention(nn.Module):
    """Cells of a map look at tokens, and what they find is added to them."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(channels, channels, bias=False)
        self.kv = nn.Linear(channels, 2 * channels, bias=False)
        self.proj = nn.Linear(channels, channels)

    def forward(
        self, maps: Float[Tensor, "b c h w"], tokens: Float[Tensor, "b n c"]
    ) -> Float[Tensor, "b c h w"]:
        """A map of the same size."""
        cells = maps.permute(0, 2, 3, 1)
        query = self._split(self.q(cells.flatten(1, 2)))
        key, value = (self._split(part) for part in self.kv(tokens).chunk(2, dim=-1))
        found = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(cells.shape)
        return maps + self.proj(found).permute(0, 3, 1, 2)

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)
