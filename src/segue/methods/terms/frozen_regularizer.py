"""SSR's regulariser: the student also learns from a second decoding, of features that attend to a frozen encoder's."""

import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from segue.methods.context import Context
from segue.methods.method import Term, TermSettings
from segue.methods.teacher import Frozen
from segue.models.batch_norms import batch_norms, statistics_kept
from segue.models.frozen_features import build_frozen
from segue.models.segmenter import segmentation_loss
from segue.settings import Count, NotNegative, Stage
from segue.types import Output, Supervised, View

logger = logging.getLogger(__name__)


class FrozenRegularizerSettings(TermSettings):
    """SSR: a second decoding, of features that attend to those of a frozen encoder."""

    encoder: str = "sam_vit_b"  # sam_vit_b, _l, _h, or any encoder of a network: dinov2_base, vit_tiny, ...
    weights: Path | None = None  # the encoder's file or Hugging Face folder; None: random, for tests only
    # The longer side of the pictures that it sees, in pixels; None: 1024 x 1024 for SAM, else the picture's own size.
    image_size: Count | None = None
    stages: list[Stage] = [1, 2, 3, 4]  # stages whose maps attend to its map (S0 to S3)
    share: NotNegative = 1.0  # weight of the second decoding's loss
    zero_init: bool = False  # start from attention that changes nothing (off in the official code)
    # Which features move the decoder's running statistics: the changed ones, too, as in the official code, or only the
    # plain ones that inference uses.
    bn_update: Literal["both", "plain_only"] = "both"
    mask_branch: bool = False  # decode MIC's masked view twice, too

    def build(self, context: Context) -> "FrozenRegularizer":
        """Build the term with its frozen encoder."""
        if self.weights is None:
            logger.warning(
                "features of a random %s: terms.frozen_regularizer.weights is not set, so it has learnt nothing",
                self.encoder,
            )
        frozen = build_frozen(self.encoder, self.weights, image_size=self.image_size, colours=context.colours)
        encoder = context.student.encoder
        heads = getattr(encoder, "heads", (1, 2, 4, 8))
        return FrozenRegularizer(
            self, frozen, frozen_channels=frozen.channels, channels=encoder.out_channels, heads=heads
        )


class FrozenRegularizer(Term):
    """Cross-attention from the student's features to frozen ones, decoded and supervised like the plain features.

    Only training needs it: the student is saved without it. With two resolutions, the context's features attend to the
    frozen ones, and the context's prediction is supervised.

    Source: SSR (paper and official code), whose frozen encoder is SAM's: four linear projections of its tokens, four
    cross-attentions without norm, dropout or positions, both predictions supervised with weight 1. Parameter names are
    the official ones.

    ``frozen`` turns an image as the student sees it into a map of features; ``channels`` are those of the student's
    four maps, ``heads`` those of the four cross-attentions.
    """

    def __init__(
        self,
        settings: FrozenRegularizerSettings,
        frozen: nn.Module,
        *,
        frozen_channels: int,
        channels: Sequence[int],
        heads: Sequence[int],
    ) -> None:
        super().__init__()
        self.settings = settings
        self.view_names = ("source", "target", "masked") if settings.mask_branch else ("source", "target")
        self.frozen = Frozen(frozen)
        self.embedding_layer = nn.ModuleList(TokenProjection(frozen_channels, width) for width in channels)
        self.fusion_layer = nn.ModuleList(
            CrossAttention(width, count) for width, count in zip(channels, heads, strict=True)
        )
        if settings.zero_init:
            for layer in self.fusion_layer:
                projection = cast(nn.Linear, layer.proj)
                nn.init.zeros_(projection.weight)
                nn.init.zeros_(projection.bias)

    def forward(self, network: nn.Module, view: View, output: Output) -> dict[str, Tensor]:
        """The segmentation loss of the head's prediction from the changed features."""
        seen = self.fused(output.features, cast(Tensor, self.frozen(view.image)))
        head = cast(nn.Module, network.head)
        with (
            statistics_kept(batch_norms(head))
            if self.settings.bn_update == "plain_only"
            else contextlib.nullcontext()
        ):
            logits: Tensor = head(seen)[0]
        regularised = Output(logits, seen, logits, [Supervised(logits)])
        return {"frozen_regularizer": self.settings.share * segmentation_loss(regularised, view)}

    def fused(self, features: Sequence[Tensor], frozen: Float[Tensor, "b d h w"]) -> list[Tensor]:
        """The student's four maps, after those of the chosen stages have attended to the frozen map."""
        tokens = frozen.flatten(2).transpose(1, 2)
        seen = list(features)
        for stage in self.settings.stages:
            at = stage - 1
            seen[at] = self.fusion_layer[at](features[at], self.embedding_layer[at](tokens))
        return seen


class TokenProjection(nn.Module):
    """Projects frozen tokens to the width of a stage; a module of its own so that parameters keep official names."""

    def __init__(self, frozen_channels: int, channels: int) -> None:
        super().__init__()
        self.proj = nn.Linear(frozen_channels, channels)

    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b n c"]:
        """Project the tokens."""
        return self.proj(tokens)


class CrossAttention(nn.Module):
    """Cells of a map attend to tokens, and the result is added to them."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(channels, channels, bias=False)
        self.kv = nn.Linear(channels, 2 * channels, bias=False)
        self.proj = nn.Linear(channels, channels)

    def forward(
        self, maps: Float[Tensor, "b c h w"], tokens: Float[Tensor, "b n c"]
    ) -> Float[Tensor, "b c h w"]:
        """The changed map."""
        cells = maps.permute(0, 2, 3, 1)
        query = self._split(self.q(cells.flatten(1, 2)))
        key, value = (self._split(part) for part in self.kv(tokens).chunk(2, dim=-1))
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(cells.shape)
        return maps + self.proj(attended).permute(0, 3, 1, 2)

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)
