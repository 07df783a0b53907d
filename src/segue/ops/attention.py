"""Hybrid attention: tokens of a source and a target picture look at keys of both domains, within their group.

There are two implementations of the same function. ``DenseMeeting`` computes all scores and masks those of other
groups, with kernels that every device has. ``SortedMeeting`` first brings the tokens of a group together and computes
only the scores that count: two equal groups cost as much as plain attention.

Source: STCT + MHA, sections 3.2 and 3.3, equations 3 to 7.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from segue.ops.recording import is_recorded
from segue.types import HybridRules

Attend: TypeAlias = Callable[[Tensor, Tensor, int], Tensor]
"""``(query (2B,N,C), key and value side by side (2B,M,2C), heads) -> (2B,N,C)``; sources first, then targets."""

Side: TypeAlias = tuple[tuple[int, ...], bool, bool]
"""Domains whose queries can be treated as one, whether they look at the other domain too, and whether groups divide
them."""

STAGES = 4
"""The number of an encoder's stages."""

MOST_SCORES = 2**25
"""Scores that attention on a CPU may hold: 64 MiB in bf16, those of stage 1 for eight crops of 512."""

BOTH = 2
"""The group of tokens that stand for no place in the picture, such as a class token: they belong to either group."""


class DenseMeeting:
    """Attention in which all scores are computed and those that do not count are masked.

    Args:
        query_groups: The group of every query, of the source and of the target: 0, 1 or ``BOTH``; None if all tokens
            may meet.
        key_groups: The same for keys.
    """

    def __init__(
        self,
        query_groups: UInt8[Tensor, "2 b n"] | None,
        key_groups: UInt8[Tensor, "2 b m"] | None,
        rules: HybridRules,
    ) -> None:
        self.rules = rules
        self.allowed: list[Tensor | None] = [None, None]
        if query_groups is not None and key_groups is not None:
            self.allowed = [self._allowed(query_groups, key_groups, domain) for domain in (0, 1)]

    def __call__(
        self, query: Float[Tensor, "b2 n c"], key_value: Float[Tensor, "b2 m d"], heads: int
    ) -> Float[Tensor, "b2 n c"]:
        """Average the values at the keys that each query may look at, weighted by attention."""
        queries = _split(query, heads).chunk(2)
        key, value = key_value.chunk(2, dim=-1)
        keys, values = (_split(tokens, heads).chunk(2) for tokens in (key, value))
        mixed: list[Tensor] = []
        for domain, looks_over in enumerate(self.rules.is_hybrid):
            seen = (domain, 1 - domain) if looks_over else (domain,)
            mask = self._mask(domain, looks_over, keys[domain].shape[2], query)
            mixed.append(
                F.scaled_dot_product_attention(
                    queries[domain],
                    torch.cat([keys[i] for i in seen], dim=2),
                    torch.cat([values[i] for i in seen], dim=2),
                    attn_mask=mask,
                )
            )
        return torch.cat(mixed).transpose(1, 2).flatten(2)

    def _mask(self, domain: int, looks_over: bool, keys: int, like: Tensor) -> Tensor | None:
        """Booleans; where the domains have different weight, numbers to add to the scores instead."""
        allowed = self.allowed[domain]
        if not looks_over or self.rules.bias == 0:
            return allowed
        bias = like.new_zeros(1, 1, 1, 2 * keys)
        bias[..., keys:] = self.rules.bias
        return bias if allowed is None else bias.masked_fill(~allowed, -math.inf)

    def _allowed(self, queries: Tensor, keys: Tensor, domain: int) -> Bool[Tensor, "b 1 n k"] | None:
        """Own keys first, then the other domain's if it is looked at."""
        looks_over = self.rules.is_hybrid[domain]
        if not looks_over and not self.rules.groups_itself:
            return None
        own = _may_meet(queries[domain], keys[domain])
        everything = torch.ones_like(own)
        if not looks_over:
            return torch.where(own.any(-1, keepdim=True), own, everything)[:, None]
        other = _may_meet(queries[domain], keys[1 - domain])
        # A query whose group has no key anywhere looks at all of its own picture.
        has_key = own.any(-1, keepdim=True) | other.any(-1, keepdim=True)
        return torch.cat([torch.where(has_key, own, everything), other], dim=-1)[:, None]


@dataclass(frozen=True)
class Meetings:
    """Sets of queries that look at the same keys, one set after the other.

    Attributes:
        queries: Every query exactly once, as its index into the flattened (2, B, N).
        query_sizes: The number of queries in each set.
        keys: The keys of each set, as indices into the flattened (2, B, M); a key may belong to several sets.
        key_sizes: The number of keys in each set.
        foreign: For each set, which of its keys are of the other domain; None where that does not matter.
    """

    queries: Int64[Tensor, " q"]
    query_sizes: list[int]
    keys: Int64[Tensor, " k"]
    key_sizes: list[int]
    foreign: list[Tensor | None]


class SortedMeeting:
    """Attention that computes only the scores that count, by bringing the tokens of a group together first.

    Building it needs the groups' sizes on the host, so it is meant for the CPU.
    """

    def __init__(
        self, query_groups: UInt8[Tensor, "2 b n"], key_groups: UInt8[Tensor, "2 b m"], rules: HybridRules
    ) -> None:
        self.rules = rules
        self.meetings = meetings(query_groups, key_groups, rules)
        self.back = torch.empty_like(self.meetings.queries)
        self.back[self.meetings.queries] = torch.arange(len(self.back), device=self.back.device)

    def __call__(
        self, query: Float[Tensor, "b2 n c"], key_value: Float[Tensor, "b2 m d"], heads: int
    ) -> Float[Tensor, "b2 n c"]:
        """Average the values at the keys that each query may look at, weighted by attention."""
        sets = self.meetings
        queries = permuted(query.flatten(0, 1), sets.queries, self.back).split(sets.query_sizes)
        keys = key_value.flatten(0, 1)[sets.keys].split(sets.key_sizes)
        mixed: list[Tensor] = []
        for some, theirs, foreign in zip(queries, keys, sets.foreign, strict=True):
            key, value = theirs[None].chunk(2, dim=-1)
            bias = None if foreign is None else (foreign * self.rules.bias).to(some.dtype)[None, None, None]
            attended = F.scaled_dot_product_attention(
                _split(some[None], heads), _split(key, heads), _split(value, heads), attn_mask=bias
            )
            mixed.append(attended[0].transpose(0, 1).flatten(1))
        return permuted(torch.cat(mixed), self.back, sets.queries).view_as(query)


@dataclass
class MeetingPlan:
    """Hybrid attention for every block of an encoder, prepared once for each grid of tokens.

    Attributes:
        groups: (D,2,B,H,W) in {0, 1}: one draw for all blocks, one for each stage, or one for each block; None if
            all tokens may meet.
        is_sorted: Whether tokens are sorted by group; None: only on the CPU, as sorting needs the groups' sizes on the
            host, for which an accelerator would have to wait.
    """

    groups: UInt8[Tensor, "d 2 b h w"] | None
    rules: HybridRules
    is_sorted: bool | None = None
    _known: dict[tuple[int, ...], Attend] = field(default_factory=dict[tuple[int, ...], Attend])

    def at(
        self, stage: int, block: int, *, queries: tuple[int, int], keys: tuple[int, int], prefix: int = 0
    ) -> Attend | None:
        """How a block attends; None for plain attention.

        Args:
            stage: From 1.
            block: The block's number in the whole encoder, from 0.
            queries: Rows and columns of the queries' grid.
            keys: Rows and columns of the keys' grid.
            prefix: Tokens before those of the grid, which belong to both groups.
        """
        if stage not in self.rules.stages:
            return None
        draws = 1 if self.groups is None else len(self.groups)
        draw = 0 if draws == 1 else stage - 1 if draws == STAGES else block
        place = (draw, *queries, *keys, prefix)
        if place not in self._known:
            self._known[place] = self._built(draw, queries, keys, prefix)
        return self._known[place]

    def _built(self, draw: int, queries: tuple[int, int], keys: tuple[int, int], prefix: int) -> Attend:
        if self.groups is None:
            return DenseMeeting(None, None, self.rules)
        cells = (_sampled(self.groups[draw], grid) for grid in (queries, keys))
        here, there = (F.pad(groups, (prefix, 0), value=BOTH) for groups in cells)
        is_sorted = here.device.type == "cpu" if self.is_sorted is None else self.is_sorted
        return (SortedMeeting if is_sorted else DenseMeeting)(here, there, self.rules)


def attended(
    query: Float[Tensor, "b heads n d"],
    key: Float[Tensor, "b heads m d"],
    value: Float[Tensor, "b heads m d"],
) -> Float[Tensor, "b heads n d"]:
    """Attention of every query to every key, scaled.

    The library's fused attention is slow in bf16 on a CPU: two products with a softmax in float32 between them take
    0.54 to 0.75 of its time, forward and backward. They hold all scores, so there is a limit to their number.
    """
    few = query.shape[:-1].numel() * key.shape[-2] <= MOST_SCORES
    if is_recorded() or query.device.type != "cpu" or query.dtype != torch.bfloat16 or not few:
        return F.scaled_dot_product_attention(query, key, value)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    return scores.softmax(dim=-1, dtype=torch.float32).to(value.dtype) @ value


def _sampled(groups: UInt8[Tensor, "2 b h w"], grid: tuple[int, int]) -> UInt8[Tensor, "2 b n"]:
    """The group of each cell's upper left pixel, so that a coarse grid is a subset of a finer one."""
    return F.interpolate(groups.float(), grid, mode="nearest").to(torch.uint8).flatten(2)


def meetings(
    query_groups: UInt8[Tensor, "2 b n"], key_groups: UInt8[Tensor, "2 b m"], rules: HybridRules
) -> Meetings:
    """Sort queries into sets that look at the same keys.

    No set is empty, and none lacks keys: queries whose group has no key look at all of their own picture.
    """
    sets = [
        entry
        for pair in range(query_groups.shape[1])
        for side in _sides(rules)
        for entry in _sets(query_groups, key_groups, pair, side, has_bias=rules.bias != 0)
    ]
    queries, keys, foreign = zip(*sets, strict=True)
    return Meetings(
        torch.cat(queries),
        [len(some) for some in queries],
        torch.cat(keys),
        [len(some) for some in keys],
        list(foreign),
    )


def _sets(
    query_groups: Tensor, key_groups: Tensor, pair: int, side: Side, *, has_bias: bool
) -> list[tuple[Tensor, Tensor, Tensor | None]]:
    """Queries, keys, and which keys are foreign, for each group of one side of a pair."""
    domains, looks_over, is_grouped = side
    sets: list[tuple[Tensor, Tensor, Tensor | None]] = []
    for group in (0, 1, BOTH) if is_grouped else (None,):
        queries = _places(query_groups, pair, domains, (group,))
        if not len(queries):
            continue
        seen = (None,) if group == BOTH else (group, BOTH)
        keys = _places(key_groups, pair, (0, 1) if looks_over else domains, seen)
        if not len(keys):  # the group has no key: its queries look at all of their own picture
            of = queries // query_groups[0].numel()
            sets += [(queries[of == d], _places(key_groups, pair, (d,), (None,)), None) for d in domains]
            continue
        is_uneven = looks_over and has_bias
        foreign = keys // key_groups[0].numel() != domains[0] if is_uneven else None
        sets.append((queries, keys, foreign))
    return sets


def _sides(rules: HybridRules) -> list[Side]:
    # Without a bias both domains' queries see the same keys with the same scores: one call serves both.
    if rules.direction == "bidirectional" and rules.bias == 0:
        return [((0, 1), True, True)]
    return [((domain,), over, over or rules.groups_itself) for domain, over in enumerate(rules.is_hybrid)]


def _places(groups: Tensor, pair: int, domains: tuple[int, ...], wanted: tuple[int | None, ...]) -> Tensor:
    """Where the tokens of a pair, of some domains and of some groups (None for any) lie in (2, B, N)."""
    _, pairs, count = groups.shape
    parts: list[Tensor] = []
    for domain in domains:
        found = _of_groups(groups[domain, pair], wanted)
        parts.append(found + (domain * pairs + pair) * count)
    return torch.cat(parts)


def _of_groups(groups: Tensor, wanted: tuple[int | None, ...]) -> Tensor:
    if None in wanted:
        return torch.arange(len(groups), device=groups.device)
    return torch.stack([groups == group for group in wanted]).any(0).nonzero()[:, 0]


def _may_meet(queries: UInt8[Tensor, "b n"], keys: UInt8[Tensor, "b k"]) -> Bool[Tensor, "b n k"]:
    """Who is of a common group with whom."""
    query, key = queries[:, :, None], keys[:, None, :]
    return (query == key) | (query == BOTH) | (key == BOTH)


def _split(tokens: Float[Tensor, "b n c"], heads: int) -> Float[Tensor, "b heads n d"]:
    return tokens.unflatten(-1, (heads, -1)).transpose(1, 2)


class _Permuted(torch.autograd.Function):
    """Rows in another order; the gradient goes back by the inverse order instead of adding up."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, order: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(order, back)
        return rows.index_select(0, order)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        _, back = ctx.saved_tensors
        return gradient.index_select(0, back), None, None


def permuted(
    rows: Float[Tensor, "n c"], order: Int64[Tensor, " n"], back: Int64[Tensor, " n"]
) -> Float[Tensor, "n c"]:
    """Rows in another order: row ``order[i]`` becomes row ``i``; ``back`` is the inverse permutation."""
    return _Permuted.apply(rows, order, back)
