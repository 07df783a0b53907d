"""The plain vision transformer (ViT) under timm's parameter names, for weights learnt from ImageNet's labels."""

from collections.abc import Mapping, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from segue.models.encoders.encoder import Colour, Variant
from segue.models.encoders.patches import Grid, PatchEncoder
from segue.ops.attention import Attend, MeetingPlan
from segue.ops.free_windows import enlarged_free
from segue.ops.recording import is_exported

EPS = 1e-6
"""Of every normalisation; pretrained weights expect exactly this."""

PATCH = 16
"""Pixels of a patch's side."""

SIDE = 14
"""Patches of a side for which files hold positions: a picture of 224 pixels."""

SIZES = {
    "nano": (32, 4, 2),
    "nano_deep": (32, 8, 2),
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
}
"""Channels, blocks and attention heads; the first two are for tests and exist in no file."""


class PlainVit(PatchEncoder):
    """A ViT, all of it or its first blocks, and the pyramid of all transformers over patches.

    Source: ViT (Dosovitskiy et al., ICLR 2021), section 3.1; https://arxiv.org/abs/2010.11929.

    Args:
        dim: Width.
        depth: Blocks of the network that a file holds.
        heads: Attention heads.
        first: How many of these blocks there are here; None for all.
        drop_path: Probability that the last block's branches are skipped for an image in training; the first
            block's is 0 and the others lie evenly between.
    """

    prefix = 1
    classifier_names = ("head.",)
    can_checkpoint = True

    def __init__(
        self, dim: int, depth: int, heads: int, *, first: int | None = None, drop_path: float = 0.1
    ) -> None:
        here = first or depth
        vit = PatchTransformer(dim, here, heads, drop_path=drop_path)
        super().__init__(vit, dim=dim, patch=PATCH, blocks=[f"blocks.{place}" for place in range(here)])
        self.later_blocks = tuple(f"blocks.{place}." for place in range(here, depth))

    def translated(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights without a classifier's, and without the blocks that come after the first ones."""
        unwanted = (*self.classifier_names, *self.later_blocks)
        is_theirs = any("embeddings.cls_token" in name for name in state)
        own = _from_transformers(state) if is_theirs else state
        return {name: value for name, value in own.items() if not name.startswith(unwanted)}

    def quarter_maps(self, image: Float[Tensor, "b 3 h w"], plan: MeetingPlan | None) -> Sequence[Tensor]:
        """The four normalised maps on the grid of patches."""
        size = (image.shape[-2], image.shape[-1])
        norm = cast(PatchTransformer, self.vit).norm
        return [self.block_map(norm(tokens), size) for tokens in self._quarters(image, plan)]

    def summary(self, image: Tensor) -> Tensor:
        """The last block's class token, normalised, as ImageNet's classifier sees it."""
        tokens = self._quarters(self._on_patches(image), None)[-1]
        return cast(PatchTransformer, self.vit).norm(tokens[:, 0])[..., None, None]

    def _quarters(self, image: Tensor, plan: MeetingPlan | None) -> list[Tensor]:
        """The tokens after each quarter of the blocks."""
        number, grid = 0, self.grid((image.shape[-2], image.shape[-1]))
        ends: list[Tensor] = []  # not list[Tensor](), which would break a compiled graph
        tokens = cast(PatchTransformer, self.vit).embedded(image, grid)
        for stage, names in enumerate(self.layers, start=1):
            for name in names:
                meeting = plan and plan.at(stage, number, queries=grid, keys=grid, prefix=self.prefix)
                tokens = self._pass(self.get_submodule(name), tokens, stage, meeting)
                number += 1
            ends.append(tokens)
        return ends

    def _pass(self, block: nn.Module, tokens: Tensor, stage: int, meeting: Attend | None) -> Tensor:
        if stage in self.checkpointed and torch.is_grad_enabled():
            return cast(Tensor, checkpoint(block, tokens, meeting, use_reentrant=False))
        return block(tokens, meeting)


class PatchTransformer(nn.Module):
    """The parameters of a ViT: patches, a class token, positions, blocks and a last normalisation."""

    def __init__(self, dim: int, depth: int, heads: int, *, drop_path: float) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + SIDE**2, dim))
        rates = [drop_path * place / max(depth - 1, 1) for place in range(depth)]
        self.blocks = nn.ModuleList(Block(dim, heads, drop_path=rate) for rate in rates)
        self.norm = nn.LayerNorm(dim, eps=EPS)
        nn.init.normal_(self.cls_token, std=1e-6)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.apply(_initialise)

    def embedded(self, image: Float[Tensor, "b 3 h w"], grid: Grid) -> Float[Tensor, "b n c"]:
        """The class token and the patches of a picture, each with its position added."""
        patches: Tensor = self.patch_embed(image)
        tokens = torch.cat([self.cls_token.expand(patches.shape[0], -1, -1), patches], dim=1)
        return tokens + self.positions(grid)

    def positions(self, grid: Grid) -> Float[Tensor, "1 n c"]:
        """Those of the file interpolated to a grid of patches, as timm does; the class token's comes first."""
        if not is_exported() and grid == (SIDE, SIDE):
            return self.pos_embed
        own = self.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (SIDE, SIDE)).float()
        if is_exported():
            fitted = enlarged_free(own, (torch.as_tensor(grid[0]), torch.as_tensor(grid[1])))
        else:
            fitted = F.interpolate(own, size=grid, mode="bicubic", align_corners=False, antialias=True)
        return torch.cat([self.pos_embed[:, :1], fitted.flatten(2).transpose(1, 2)], dim=1)


class PatchEmbedding(nn.Module):
    """Patches to tokens; a module of its own for its name in files."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, PATCH, stride=PATCH)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b n c"]:
        """A token for each patch, row by row."""
        return self.proj(image).flatten(2).transpose(1, 2)


class Block(nn.Module):
    """Attention and a feed-forward layer, each normalised first and added to its input."""

    def __init__(self, dim: int, heads: int, *, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=EPS)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=EPS)
        self.mlp = FeedForward(dim, 4 * dim)
        self.drop_path = drop_path

    def forward(
        self, tokens: Float[Tensor, "b n c"], meeting: Attend | None = None
    ) -> Float[Tensor, "b n c"]:
        """As many tokens."""
        tokens = tokens + self._drop(self.attn(self.norm1(tokens), meeting))
        return tokens + self._drop(self.mlp(self.norm2(tokens)))

    def _drop(self, branch: Tensor) -> Tensor:
        """Stochastic depth: leave the branch out for some images, and scale it up for the others."""
        if not self.training or self.drop_path == 0:
            return branch
        keep = 1 - self.drop_path
        return branch * branch.new_empty(len(branch), 1, 1).bernoulli_(keep).div_(keep)


class Attention(nn.Module):
    """Multi-head attention of tokens to one another."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(
        self, tokens: Float[Tensor, "b n c"], meeting: Attend | None = None
    ) -> Float[Tensor, "b n c"]:
        """Let every token look at those of its own picture, or as ``meeting`` has it."""
        width = tokens.shape[-1]
        query, key_value = self.qkv(tokens).split([width, 2 * width], dim=-1)
        if meeting is not None:
            return self.proj(meeting(query, key_value, self.heads))
        parts = [
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (query, *key_value.chunk(2, -1))
        ]
        return self.proj(F.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Linear, GELU, linear."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """As many tokens."""
        return self.fc2(F.gelu(self.fc1(tokens)))


def _initialise(module: nn.Module) -> None:
    """That of timm from scratch, but for the patches, which keep that of a convolution."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


TRANSFORMERS = {
    "embeddings.cls_token": "cls_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    # as files have it, from before version 5
    "encoder.layer.": "blocks.",
    "attention.attention.query": "attention.q_proj",
    "attention.attention.key": "attention.k_proj",
    "attention.attention.value": "attention.v_proj",
    "attention.output.dense": "attn.proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
    # as version 5 has it
    "layers.": "blocks.",
    "attention.o_proj": "attn.proj",
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "layernorm.": "norm.",
}
"""Names of the transformers library's ViT, and timm's; they are replaced in this order."""


def _from_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the transformers library's ViT under timm's names, without pooling and classifier.

    Some of these files expect 1e-12 in their normalisations, of which nothing is to be seen.
    """
    renamed: dict[str, Tensor] = {}
    for theirs, value in state.items():
        name = theirs.removeprefix("vit.")
        for before, after in TRANSFORMERS.items():
            name = name.replace(before, after)
        renamed[name] = value
    found: dict[str, Tensor] = {}
    for name, value in renamed.items():
        place, is_query, kind = name.partition("attention.q_proj.")
        if is_query:
            parts = [renamed.get(f"{place}attention.{part}_proj.{kind}") for part in "qkv"]
            found[f"{place}attn.qkv.{kind}"] = torch.cat([part for part in parts if part is not None])
        elif "attention." not in name and not name.startswith(("pooler.", "classifier.")):
            found[name] = value
    return found


HALF: Colour = (127.5, 127.5, 127.5)
"""Weights that timm calls ``augreg`` expect colours from -1 to 1."""


def _variant(size: str, first: int | None = None) -> Variant:
    return Variant(lambda drop_path: PlainVit(*SIZES[size], first=first, drop_path=drop_path), HALF, HALF)


VARIANTS = {f"vit_{size}": _variant(size) for size in SIZES} | {
    f"vit_{size}_{depth // 2}": _variant(size, depth // 2)
    for size, (_, depth, _) in SIZES.items()
    if not size.startswith("nano")
}
