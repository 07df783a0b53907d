"""The Mix Transformer (MiT): SegFormer's hierarchical encoder, under its official parameter names."""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from segue.models.encoders.encoder import Encoder, Variant
from segue.models.layers import TokenLinear
from segue.ops.attention import Attend, MeetingPlan, attended

# The official networks mix two epsilons; pretrained weights expect exactly these.
BLOCK_EPS = 1e-6
EMBED_EPS = 1e-5

SIZES: dict[str, tuple[Sequence[int], Sequence[int]]] = {
    "mit_b0": ((32, 64, 160, 256), (2, 2, 2, 2)),
    "mit_b1": ((64, 128, 320, 512), (2, 2, 2, 2)),
    "mit_b2": ((64, 128, 320, 512), (3, 4, 6, 3)),
    "mit_b3": ((64, 128, 320, 512), (3, 4, 18, 3)),
    "mit_b4": ((64, 128, 320, 512), (3, 8, 27, 3)),
    "mit_b5": ((64, 128, 320, 512), (3, 6, 40, 3)),
}
"""Channels and blocks of the four stages (SegFormer, table 6)."""


class MixTransformer(Encoder):
    """Four stages of overlapping patch embedding and transformer blocks.

    Tokens are (B,H,W,C): a map in channels-last layout is the same memory, so nothing is copied between the
    linear layers and the convolutions.

    Source: SegFormer (Xie et al., NeurIPS 2021), section 3.1; https://arxiv.org/abs/2105.15203.

    Args:
        reductions: Keys and values of a stage are taken from its map, downscaled by this factor.
        mlp_ratio: Width of a block's hidden layer as a multiple of the stage's channels.
        drop_path: Probability that the last block's branches are skipped for an image in training; it rises
            linearly from 0 at the first block.
    """

    def __init__(
        self,
        dims: Sequence[int],
        depths: Sequence[int],
        *,
        heads: Sequence[int] = (1, 2, 5, 8),
        reductions: Sequence[int] = (8, 4, 2, 1),
        mlp_ratio: int = 4,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.out_channels = tuple(dims)
        self.depths = tuple(depths)
        self.heads = tuple(heads)
        self.reductions = tuple(reductions)
        self.mlp_ratio = mlp_ratio
        self.classifier_names, self.can_checkpoint = ("head.",), True
        blocks = sum(depths)
        rates = iter([drop_path * i / max(blocks - 1, 1) for i in range(blocks)])
        for stage, (previous, dim) in enumerate(pairwise((3, *dims)), start=1):
            kernel, stride = (7, 4) if stage == 1 else (3, 2)
            self.add_module(
                f"patch_embed{stage}", PatchEmbedding(previous, dim, kernel=kernel, stride=stride)
            )
            self.add_module(
                f"block{stage}",
                nn.ModuleList(
                    Block(
                        dim,
                        heads[stage - 1],
                        reduction=reductions[stage - 1],
                        mlp_ratio=mlp_ratio,
                        drop_path=next(rates),
                    )
                    for _ in range(depths[stage - 1])
                ),
            )
            self.add_module(f"norm{stage}", nn.LayerNorm(dim, eps=BLOCK_EPS))
        self.apply(_initialise)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """The maps of the four stages, at strides 4, 8, 16 and 32."""
        return self.together(image, None)

    def together(self, image: Tensor, plan: MeetingPlan | None) -> list[Tensor]:
        """The same maps for sources and targets (2B,3,H,W) whose tokens look at one another as planned.

        Source: STCT + MHA, section 3.2, multi-head hybrid attention, without parameters of its own.
        """
        maps, number = image, 0
        features: list[Tensor] = []  # not list[Tensor](), which would break a compiled graph
        for stage in range(1, len(self.depths) + 1):
            maps = maps.contiguous(memory_format=torch.channels_last)
            tokens: Tensor = self.get_submodule(f"patch_embed{stage}")(maps)
            for block in cast(nn.ModuleList, self.get_submodule(f"block{stage}")):
                attend = None if plan is None else self._attend(plan, stage, number, tokens)
                if stage in self.checkpointed and torch.is_grad_enabled():
                    tokens = cast(Tensor, checkpoint(block, tokens, attend, use_reentrant=False))
                else:
                    tokens = block(tokens, attend)
                number += 1
            maps = cast(Tensor, self.get_submodule(f"norm{stage}")(tokens)).permute(0, 3, 1, 2)
            features.append(maps)
        return features

    @property
    def layers(self) -> tuple[tuple[str, ...], ...]:
        """The names of each stage's blocks."""
        return tuple(
            tuple(f"block{stage}.{place}" for place in range(depth))
            for stage, depth in enumerate(self.depths, start=1)
        )

    def _attend(self, plan: MeetingPlan, stage: int, number: int, tokens: Tensor) -> Attend | None:
        """How the block of that number lets sources and targets look at one another; None if it does not."""
        rows, columns = tokens.shape[1:3]
        reduction = self.reductions[stage - 1]
        return plan.at(stage, number, queries=(rows, columns), keys=(rows // reduction, columns // reduction))


class PatchEmbedding(nn.Module):
    """A strided convolution whose patches overlap, then layer normalisation."""

    def __init__(self, in_channels: int, dim: int, *, kernel: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, kernel, stride=stride, padding=kernel // 2)
        self.norm = nn.LayerNorm(dim, eps=EMBED_EPS)

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h2 w2 d"]:
        """Tokens of the coarser grid."""
        return self.norm(self.proj(maps).permute(0, 2, 3, 1))


class Block(nn.Module):
    """Attention and a convolutional feed-forward layer, each normalised first and added to its input."""

    def __init__(self, dim: int, heads: int, *, reduction: int, mlp_ratio: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=BLOCK_EPS)
        self.attn = Attention(dim, heads, reduction=reduction)
        self.norm2 = nn.LayerNorm(dim, eps=BLOCK_EPS)
        self.mlp = MixFeedForward(dim, dim * mlp_ratio)
        self.drop_path = drop_path

    def forward(
        self, tokens: Float[Tensor, "b h w c"], attend: Attend | None = None
    ) -> Float[Tensor, "b h w c"]:
        """Tokens of the same grid."""
        tokens = tokens + self._drop(self.attn(self.norm1(tokens), attend))
        return tokens + self._drop(self.mlp(self.norm2(tokens)))

    def _drop(self, branch: Tensor) -> Tensor:
        """Stochastic depth: leave the branch out for some images, and scale it up for the others."""
        if not self.training or self.drop_path == 0:
            return branch
        keep = 1 - self.drop_path
        return branch * branch.new_empty(len(branch), 1, 1, 1).bernoulli_(keep).div_(keep)


class Attention(nn.Module):
    """Multi-head attention whose keys and values come from a coarser grid than its queries."""

    def __init__(self, dim: int, heads: int, *, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = TokenLinear(dim, dim)
        self.kv = TokenLinear(dim, 2 * dim)
        self.proj = TokenLinear(dim, dim)
        self.sr: nn.Conv2d | None = None
        if reduction > 1:
            self.sr = nn.Conv2d(dim, dim, reduction, stride=reduction)
            self.norm = nn.LayerNorm(dim, eps=EMBED_EPS)

    def forward(
        self, tokens: Float[Tensor, "b h w c"], attend: Attend | None = None
    ) -> Float[Tensor, "b h w c"]:
        """Let every token look at the coarser grid of its own picture, or as ``attend`` says."""
        key_value = self.kv(self._reduce(tokens))
        if attend is not None:
            mixed = attend(self.q(tokens).flatten(1, 2), key_value.flatten(1, 2), self.heads)
            return self.proj(mixed.view_as(tokens))
        key, value = key_value.chunk(2, dim=-1)
        mixed = attended(self._split(self.q(tokens)), self._split(key), self._split(value))
        return self.proj(mixed.transpose(1, 2).reshape(tokens.shape))

    def _reduce(self, tokens: Tensor) -> Tensor:
        if self.sr is None:
            return tokens
        return self.norm(self.sr(tokens.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))

    def _split(self, tokens: Tensor) -> Tensor:
        """(B,H,W,C) to (B,heads,H*W,C/heads), without a copy."""
        return tokens.flatten(1, 2).unflatten(-1, (self.heads, -1)).transpose(1, 2)


class MixFeedForward(nn.Module):
    """Linear, depth-wise 3x3 convolution, GELU, linear; the convolution replaces a positional encoding."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = TokenLinear(dim, hidden)
        self.dwconv = DepthwiseConv(hidden)
        self.fc2 = TokenLinear(hidden, dim)

    def forward(self, tokens: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        """Tokens of the same grid."""
        return self.fc2(F.gelu(self.dwconv(self.fc1(tokens))))


class DepthwiseConv(nn.Module):
    """A depth-wise 3x3 convolution; a module of its own for its official name."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, tokens: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        """Tokens of the same grid."""
        return self.dwconv(tokens.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def _initialise(module: nn.Module) -> None:
    """SegFormer's initialisation from scratch."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _variant(dims: Sequence[int], depths: Sequence[int], heads: Sequence[int] = (1, 2, 5, 8)) -> Variant:
    return Variant(lambda drop_path: MixTransformer(dims, depths, heads=heads, drop_path=drop_path))


NANO = (16, 32, 64, 128)
"""Channels of networks that learn pictures of 256x128 from scratch on two CPU cores within minutes."""

VARIANTS = {name: _variant(*size) for name, size in SIZES.items()} | {
    "mit_nano": _variant(NANO, (1, 1, 1, 1), (1, 2, 4, 8)),
    "mit_nano_deep": _variant(NANO, (2, 2, 4, 2), (1, 2, 4, 8)),
}
