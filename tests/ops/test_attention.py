"""Hybrid attention keeps the oracles of its specification; it, both evaluations of it and attention by plain products,
which a CPU takes in bf16, equal plain references."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from segue.ops import attention
from segue.ops.attention import BOTH, DenseMeeting, MeetingPlan, SortedMeeting, meetings
from segue.types import HybridRules

KINDS = (DenseMeeting, SortedMeeting)
RULES = [
    HybridRules(direction, share, itself)
    for direction in ("bidirectional", "s2t", "t2s", "none")
    for share, itself in ((0.5, True), (0.5, False), (0.8, True))
]


def draw(
    pairs: int = 2, queries: int = 12, keys: int = 6, heads: int = 2, *, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Queries, keys with values, and groups of either, in float64."""
    generator = torch.Generator().manual_seed(seed)
    width = 4 * heads
    query = torch.randn(2 * pairs, queries, width, dtype=torch.float64, generator=generator)
    key_value = torch.randn(2 * pairs, keys, 2 * width, dtype=torch.float64, generator=generator)
    here, there = (
        torch.randint(0, 2, (2, pairs, count), generator=generator).to(torch.uint8)
        for count in (queries, keys)
    )
    return query, key_value, here, there


def reference(
    query: Tensor, key_value: Tensor, here: Tensor, there: Tensor, rules: HybridRules, heads: int
) -> Tensor:
    """One query at a time, as the paper's equations are written."""
    pairs = len(query) // 2
    keys, values = key_value.chunk(2, dim=-1)
    out = torch.zeros_like(query)
    width = query.shape[-1] // heads
    for domain, looks_over in enumerate(rules.is_hybrid):
        for pair in range(pairs):
            for n in range(query.shape[1]):
                grouped = looks_over or rules.groups_itself
                seen: list[tuple[int, int]] = []
                for other in (domain, 1 - domain) if looks_over else (domain,):
                    seen += [
                        (other, m)
                        for m in range(keys.shape[1])
                        if not grouped
                        or there[other, pair, m] == here[domain, pair, n]
                        or BOTH in (there[other, pair, m], here[domain, pair, n])
                    ]
                if not seen:
                    seen = [(domain, m) for m in range(keys.shape[1])]
                rows = [(d * pairs + pair, m) for d, m in seen]
                for head in range(heads):
                    part = slice(head * width, (head + 1) * width)
                    scores = torch.stack(
                        [query[domain * pairs + pair, n, part] @ keys[i, m, part] for i, m in rows]
                    )
                    scores = scores / math.sqrt(width)
                    scores = scores + torch.tensor([rules.bias * (d != domain) for d, _ in seen])
                    share = scores.softmax(0)
                    out[domain * pairs + pair, n, part] = sum(
                        s * values[i, m, part] for s, (i, m) in zip(share, rows, strict=True)
                    )
    return out


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rules", RULES, ids=str)
def test_equal_to_one_query_at_a_time(kind: type, rules: HybridRules) -> None:
    query, key_value, here, there = draw()
    found = kind(here, there, rules)(query, key_value, 2)
    assert torch.allclose(found, reference(query, key_value, here, there, rules, 2), atol=1e-12)


@settings(max_examples=40)
@given(
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(1, 5),
    st.sampled_from([1, 2]),
    st.integers(0, 99),
    st.sampled_from(RULES),
)
def test_any_masks_and_sizes(
    pairs: int, queries: int, keys: int, heads: int, seed: int, rules: HybridRules
) -> None:
    query, key_value, here, there = draw(pairs, queries, keys, heads, seed=seed)
    expected = reference(query, key_value, here, there, rules, heads)
    for kind in KINDS:
        assert torch.allclose(kind(here, there, rules)(query, key_value, heads), expected, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rules", RULES, ids=str)
def test_tokens_of_both_groups(kind: type, rules: HybridRules) -> None:
    """They look at every key of the pictures that their domain looks at, and are looked at by either group."""
    query, key_value, here, there = draw(seed=1)
    here[..., :2], there[..., :2] = BOTH, BOTH
    there[..., 2:] = 0  # group 1 has no key but those
    found = kind(here, there, rules)(query, key_value, 2)
    assert torch.allclose(found, reference(query, key_value, here, there, rules, 2), atol=1e-12)


def plain(query: Tensor, key_value: Tensor, heads: int) -> Tensor:
    split = [t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (query, *key_value.chunk(2, -1))]
    return F.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)


def test_two_equal_domains_without_groups_are_plain_attention() -> None:
    query, key_value, _, _ = draw()
    query, key_value = (torch.cat([t[:2], t[:2]]) for t in (query, key_value))
    found = DenseMeeting(None, None, HybridRules())(query, key_value, 2)
    assert torch.allclose(found, plain(query, key_value, 2), atol=1e-12)


def test_one_group_is_no_grouping() -> None:
    query, key_value, here, there = draw()
    alone = DenseMeeting(None, None, HybridRules())(query, key_value, 2)
    for kind in KINDS:
        ones = kind(torch.ones_like(here), torch.ones_like(there), HybridRules())
        assert torch.allclose(ones(query, key_value, 2), alone, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_leaks_between_groups(kind: type) -> None:
    query, key_value, here, there = draw(pairs=1)
    here[..., 0], there[..., 0], there[..., 1] = 1, 0, 1  # both groups have queries and keys
    key_value.requires_grad_()
    found = kind(here, there, HybridRules())(query, key_value, 2)
    found[here.flatten(0, 1) == 1].sum().backward()
    gradient = key_value.grad
    assert gradient is not None
    assert not gradient[there.flatten(0, 1) == 0].any()
    assert gradient[there.flatten(0, 1) == 1].any()


@pytest.mark.parametrize("kind", KINDS)
def test_swapping_the_domains_swaps_the_results(kind: type) -> None:
    query, key_value, here, there = draw()
    found = kind(here, there, HybridRules())(query, key_value, 2)
    swapped = kind(here.flip(0), there.flip(0), HybridRules())(query.roll(2, 0), key_value.roll(2, 0), 2)
    assert torch.allclose(found.roll(2, 0), swapped, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_permuting_keys_with_their_groups_changes_nothing(kind: type) -> None:
    query, key_value, here, there = draw()
    order = torch.randperm(6)
    found = kind(here, there, HybridRules(inter_share=0.7))(query, key_value, 2)
    other = kind(here, there[..., order], HybridRules(inter_share=0.7))(query, key_value[:, order], 2)
    assert torch.allclose(found, other, atol=1e-12)


def test_the_share_of_the_other_domain() -> None:
    query, key_value, here, there = draw()
    even = DenseMeeting(None, None, HybridRules(inter_share=0.5))(query, key_value, 2)
    assert torch.equal(even, DenseMeeting(None, None, HybridRules())(query, key_value, 2))
    alone = DenseMeeting(None, None, HybridRules(inter_share=1e-9))(query, key_value, 2)
    assert torch.allclose(alone, plain(query, key_value, 2), atol=1e-6)
    constant = torch.ones_like(key_value)
    for kind in KINDS:  # attention's shares sum to one: equal values come through unchanged
        found = kind(here, there, HybridRules(inter_share=0.9))(query, constant, 2)
        assert torch.allclose(found, torch.ones_like(found))
    for wrong in (0.0, 1.0):
        with pytest.raises(ValueError, match="one half for even odds"):
            HybridRules(inter_share=wrong)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("direction", ["bidirectional", "s2t", "none"])
def test_a_group_without_keys_looks_at_its_own_picture(kind: type, direction) -> None:
    query, key_value, here, there = draw(pairs=1)
    found = kind(here, torch.zeros_like(there), HybridRules(direction))(query, key_value, 2)
    expected = plain(query, key_value, 2)
    lonely = here.flatten(0, 1) == 1
    assert torch.allclose(found[lonely], expected[lonely], atol=1e-12)
    assert found.isfinite().all()


def test_every_query_is_in_one_set_and_every_set_has_keys() -> None:
    _, _, here, there = draw(pairs=3)
    for rules in RULES:
        found = meetings(here, there, rules)
        assert torch.equal(found.queries.sort().values, torch.arange(here.numel()))
        assert min(found.key_sizes) > 0 and sum(found.query_sizes) == here.numel()


def test_gradients_of_both_evaluations_agree() -> None:
    query, key_value, here, there = draw()
    gradients: list[tuple[Tensor, ...]] = []
    for kind in KINDS:
        inputs = (query.clone().requires_grad_(), key_value.clone().requires_grad_())
        out = kind(here, there, HybridRules(inter_share=0.6))(*inputs, 2)
        gradients.append(torch.autograd.grad((out * torch.arange(8.0)).sum(), inputs))
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-12)


def test_a_plan_draws_once_or_for_each_stage_or_block() -> None:
    groups = torch.randint(0, 2, (10, 2, 1, 64, 64)).to(torch.uint8)
    sizes = {"queries": (16, 16), "keys": (2, 2)}
    once = MeetingPlan(groups[:1], HybridRules())
    assert once.at(1, 0, **sizes) is once.at(3, 5, **sizes)
    stages = MeetingPlan(groups[:4], HybridRules())
    assert stages.at(3, 0, **sizes) is stages.at(3, 1, **sizes)
    assert stages.at(3, 0, **sizes) is not stages.at(2, 0, **sizes)
    blocks = MeetingPlan(groups, HybridRules())
    assert blocks.at(3, 7, **sizes) is not blocks.at(3, 8, **sizes)
    assert MeetingPlan(groups, HybridRules(stages=(2,))).at(1, 0, **sizes) is None


@pytest.mark.parametrize("is_sorted", [False, True])
def test_a_plan_puts_the_tokens_before_the_grid_into_both_groups(is_sorted: bool) -> None:
    groups = torch.randint(0, 2, (1, 2, 1, 32, 48)).to(torch.uint8)
    query, key_value, _, _ = draw(pairs=1, queries=8, keys=8)
    attend = MeetingPlan(groups, HybridRules(), is_sorted).at(1, 0, queries=(2, 3), keys=(2, 3), prefix=2)
    assert attend is not None
    cells = F.pad(groups[0, :, :, ::16, ::16].flatten(2), (2, 0), value=BOTH)
    expected = reference(query, key_value, cells, cells, HybridRules(), 2)
    assert torch.allclose(attend(query, key_value, 2), expected, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("most", [attention.MOST_SCORES, 0])
def test_values_and_gradients(dtype: torch.dtype, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "MOST_SCORES", most)
    torch.manual_seed(0)
    exact = [torch.randn(2, count, 2, 32).transpose(1, 2).requires_grad_() for count in (64, 16, 16)]
    given = [one.detach().to(dtype).requires_grad_() for one in exact]
    mixed, wanted = attention.attended(*given), F.scaled_dot_product_attention(*exact)
    assert mixed.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 0.02
    torch.testing.assert_close(mixed.float(), wanted, atol=tolerance, rtol=tolerance)
    mixed.float().square().sum().backward()
    wanted.square().sum().backward()
    for one, other in zip(given, exact, strict=True):
        assert one.grad is not None and other.grad is not None
        assert float((one.grad.float() - other.grad).norm()) < tolerance * float(other.grad.norm())


def test_bf16_takes_the_products(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("the fused attention was called")

    monkeypatch.setattr(F, "scaled_dot_product_attention", refused)
    some = torch.randn(1, 1, 4, 8)
    attention.attended(*[some.bfloat16()] * 3)
    with pytest.raises(AssertionError, match="was called"):
        attention.attended(some, some, some)
