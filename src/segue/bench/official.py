"""DAFormer's encoder and head in the official order of operations, on our parameters: what ours are compared with.

Maps lie channel by channel, tokens are copied into maps and back around every convolution, attention is written
out, linear layers are matrix products, and dilated convolutions are left to the library. Attributes have the names
of our networks', so that either can stand in for the other; the numbers are equal but for rounding.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segue.models.encoders.mit import Attention, Block, MixFeedForward, MixTransformer, PatchEmbedding
from segue.models.heads.context import Aspp, PointwiseFusion, SeparableConvNorm
from segue.models.heads.daformer import DaformerHead
from segue.models.layers import ConvNorm, LevelEmbedding
from segue.ops.resize import resize

Grid = tuple[int, int]


class PlainEncoder(nn.Module):
    """A mix transformer with tokens (B,N,C) and maps (B,C,H,W), each copied into the other; parameters are shared."""

    def __init__(self, encoder: MixTransformer) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Tensor) -> list[Tensor]:
        """The maps of the four stages."""
        maps, features = image, list[Tensor]()
        for stage in range(1, len(self.encoder.depths) + 1):
            tokens, grid = _embedded(
                cast(PatchEmbedding, self.encoder.get_submodule(f"patch_embed{stage}")), maps
            )
            for block in cast(nn.ModuleList, self.encoder.get_submodule(f"block{stage}")):
                tokens = _block(cast(Block, block), tokens, grid)
            tokens = self.encoder.get_submodule(f"norm{stage}")(tokens)
            maps = _as_map(tokens, grid)
            features.append(maps)
        return features


def _embedded(layer: PatchEmbedding, maps: Tensor) -> tuple[Tensor, Grid]:
    maps = layer.proj(maps)
    return layer.norm(_as_tokens(maps)), (maps.shape[2], maps.shape[3])


def _as_map(tokens: Tensor, grid: Grid) -> Tensor:
    return tokens.transpose(1, 2).contiguous().view(len(tokens), -1, *grid)


def _as_tokens(maps: Tensor) -> Tensor:
    return maps.flatten(2).transpose(1, 2).contiguous()


def _block(block: Block, tokens: Tensor, grid: Grid) -> Tensor:
    tokens = tokens + _dropped(block, _attention(block.attn, block.norm1(tokens), grid))
    return tokens + _dropped(block, _feed_forward(block.mlp, block.norm2(tokens), grid))


def _dropped(block: Block, branch: Tensor) -> Tensor:
    if not block.training or block.drop_path == 0:
        return branch
    keep = 1 - block.drop_path
    return branch / keep * branch.new_empty(len(branch), 1, 1).bernoulli_(keep)


def _attention(layer: Attention, tokens: Tensor, grid: Grid) -> Tensor:
    def split(values: Tensor) -> Tensor:
        return values.unflatten(-1, (layer.heads, -1)).transpose(1, 2).contiguous()

    query = split(F.linear(tokens, layer.q.weight, layer.q.bias))
    seen = tokens
    if layer.sr is not None:
        seen = layer.norm(_as_tokens(layer.sr(_as_map(tokens, grid))))
    key, value = F.linear(seen, layer.kv.weight, layer.kv.bias).chunk(2, dim=-1)
    scores = (query @ split(key).transpose(-2, -1).contiguous()) * query.shape[-1] ** -0.5
    mixed = (scores.softmax(dim=-1) @ split(value)).transpose(1, 2).reshape(tokens.shape)
    return F.linear(mixed, layer.proj.weight, layer.proj.bias)


def _feed_forward(layer: MixFeedForward, tokens: Tensor, grid: Grid) -> Tensor:
    wide = F.linear(tokens, layer.fc1.weight, layer.fc1.bias)
    wide = _as_tokens(layer.dwconv.dwconv(_as_map(wide, grid)))
    return F.linear(F.gelu(wide), layer.fc2.weight, layer.fc2.bias)


class PlainHead(nn.Module):
    """DAFormer's head, layer by layer on whole maps; parameters and statistics are shared.

    Its context is a pyramid with separable convolutions, or none.
    """

    def __init__(self, head: DaformerHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits and the embedding before dropout and classifier."""
        size = (features[0].shape[2], features[0].shape[3])
        levels = [
            resize(_level(cast(LevelEmbedding, layer), maps), size)
            for layer, maps in zip(self.head.embed_layers, features, strict=True)
        ]
        embedding = _fused(self.head.fuse_layer, torch.cat(levels, dim=1))
        return self.head.conv_seg(self.head.dropout(embedding)), embedding


def _level(layer: LevelEmbedding, maps: Tensor) -> Tensor:
    tokens = F.linear(maps.flatten(2).transpose(1, 2), layer.proj.weight, layer.proj.bias)
    return _as_map(tokens, (maps.shape[2], maps.shape[3]))


def _fused(layer: nn.Module, maps: Tensor) -> Tensor:
    if isinstance(layer, PointwiseFusion):
        return _conv_norm(layer, maps)
    pyramid = cast(Aspp, layer)
    branches = [_branch(branch, maps) for branch in pyramid.aspp_modules]
    return _conv_norm(pyramid.bottleneck, torch.cat(branches, dim=1))


def _branch(branch: nn.Module, maps: Tensor) -> Tensor:
    if isinstance(branch, SeparableConvNorm):
        return _conv_norm(branch.pointwise_conv, _conv_norm(branch.depthwise_conv, maps))
    return _conv_norm(cast(ConvNorm, branch), maps)


def _conv_norm(layer: ConvNorm, maps: Tensor) -> Tensor:
    conv = layer.conv
    maps = F.conv2d(maps, conv.weight, padding=conv.padding, dilation=conv.dilation, groups=conv.groups)
    return F.relu(layer.bn(maps), inplace=True)
