"""Fusion of members: equal to the official code outside its defects, and its invariants (oracles D.6)."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tests.parity import notes, numbers
from torch import Tensor

from segue.classes import class_list
from segue.evaluation.fusing import Fusion
from segue.evaluation.fusion_counts import FusionCounts
from segue.fusion_rules import FusionRules
from segue.ops.fusion import (
    average,
    channel_wise,
    choose_members,
    claims_of,
    count_claims,
    distinct,
    majority,
)
from segue.types import IGNORE


@pytest.fixture(scope="module")
def official(fixtures_dir: Path) -> tuple[dict[str, Tensor], dict]:
    about = notes(fixtures_dir, "end_fusion")
    cases = {name: json.loads(text) for name, text in about.items() if text.startswith('{"teachers')}
    return numbers(fixtures_dir, "end_fusion"), cases


def as_policy(rows: Tensor) -> list[int]:
    members = dict(rows.tolist())
    return [members[name] for name in range(len(members))]


def test_channel_fusion_equals_the_official_code(official) -> None:
    """But where nothing is claimed in the window (class 0 there), and where zeros around a picture count."""
    tensors, cases = official
    compared = 0
    for name, about in cases.items():
        labels = tensors[f"{name}/labels"]
        percent = tensors.get(f"{name}/certainty")
        for case, settings in about["cases"].items():
            policy = as_policy(tensors[f"{name}/channel/{case}/list"])
            expected = tensors[f"{name}/channel/{case}/out"]
            planes = None
            if percent is not None:
                planes = torch.stack([percent[t, ..., c].float() / 100 for c, t in enumerate(policy)])
            elif settings["threshold"] > 0:
                continue
            window = settings["kappa"]
            fused = channel_wise(
                labels, policy, window=window, certainty=planes, threshold=settings["threshold"] / 100 - 1e-6
                if settings["threshold"] else 0.0,
            )  # fmt: skip
            claimed = F.max_pool2d((fused.claims > 0).float(), window, stride=1, padding=window // 2) > 0
            reach = window // 2
            inside = torch.zeros_like(claimed)
            inside[..., reach:-reach, reach:-reach] = True
            # Means at the border differ on purpose; they only matter with a threshold and without one claim.
            alike = claimed & ((fused.claims == 1) | inside | (settings["threshold"] == 0))
            assert torch.equal(fused.label[alike], expected[alike]), (name, case)
            assert (fused.label[~claimed] == IGNORE).all()
            key = f"{name}/channel/{case}/claims"
            if key in tensors:
                assert torch.equal(fused.claims, tensors[key])
            compared += int(alike.sum())
    assert compared > 10_000


def test_an_empty_window_is_ignored_where_the_official_code_says_road(official) -> None:
    tensors, _ = official
    labels = tensors["edge_nothing_claimed/labels"]
    policy = as_policy(tensors["edge_nothing_claimed/channel/list_thr0/list"])
    fused = channel_wise(labels, policy)
    theirs = tensors["edge_nothing_claimed/channel/list_thr0/out"]
    assert (theirs == 0).any() and (fused.label[theirs == 0] == IGNORE).all()


def test_at_a_border_the_mean_is_over_the_picture(official) -> None:
    """The official code counts zeros outside and so drops what is certain."""
    tensors, _ = official
    case = "edge_border/channel/list_thr90"
    labels, percent = tensors["edge_border/labels"], tensors["edge_border/certainty"]
    policy = as_policy(tensors[f"{case}/list"])
    planes = torch.stack([percent[t, ..., c].float() / 100 for c, t in enumerate(policy)])
    ours = channel_wise(labels, policy, certainty=planes, threshold=0.9).label
    theirs = tensors[f"{case}/out"]
    more = (theirs == IGNORE) & (ours != IGNORE)
    assert more.any() and torch.equal(ours[~more], theirs[~more])


def test_majority_and_average_equal_the_official_code(official) -> None:
    tensors, cases = official
    for name in cases:
        labels = tensors[f"{name}/labels"]
        assert torch.equal(majority(labels), tensors[f"{name}/majority/out"]), name
        for key in [k for k in tensors if k.startswith(f"{name}/average/out_thr")]:
            threshold = int(key.rsplit("thr", 1)[1])
            percent = tensors[f"{name}/certainty"].permute(0, 1, 4, 2, 3).float()
            label, certainty = average(percent)  # whole percents: ties are exact
            ours = label.masked_fill(certainty < threshold, IGNORE)
            assert torch.equal(ours, tensors[key]), key


def test_precedence_equals_the_pre_release(official) -> None:
    tensors, _ = official
    for name in ("gta", "synthia"):
        for case, source in (("official", "official"), ("reversed", "official_reversed")):
            rows = tensors[f"{name}/channel/{source}_thr0/list"]
            fused = channel_wise(
                tensors[f"{name}/labels"], as_policy(rows), conflict="order", unclaimed="ignore",
                order=rows[:, 0].tolist(),
            )  # fmt: skip
            assert torch.equal(fused.label, tensors[f"{name}/precedence/{case}_thr0"]), (name, case)


def test_precedence_with_a_threshold_equals_the_pre_release(official) -> None:
    """A claim counts if its own certainty is high enough: the surest neighbourhood does not help, and the next wins."""
    tensors, _ = official
    for name in ("gta", "synthia"):
        for case, source in (("official", "official"), ("reversed", "official_reversed")):
            rows = tensors[f"{name}/channel/{source}_thr0/list"]
            policy, percent = as_policy(rows), tensors[f"{name}/certainty"]
            planes = torch.stack([percent[t, ..., c].float() / 100 for c, t in enumerate(policy)])
            fused = channel_wise(
                tensors[f"{name}/labels"], policy, conflict="order", unclaimed="ignore",
                order=rows[:, 0].tolist(), certainty=planes, threshold=0.9,
            )  # fmt: skip
            assert torch.equal(fused.label, tensors[f"{name}/precedence/{case}_thr90"]), (name, case)


@pytest.mark.parametrize(("own", "around"), [(1.0, 0.0), (0.0, 1.0)])
def test_a_threshold_looks_at_whoever_decided(own: float, around: float) -> None:
    """The neighbourhood's mean where the neighbourhood decided, the class's own certainty at the pixel elsewhere."""
    disputed = torch.ones(2, 1, 5, 5, dtype=torch.uint8)
    disputed[1] = 0
    disputed[1, 0, 2, 2] = 2  # member 0 is believed for 1 and claims it, member 1 for 2 and claims that
    unclaimed = disputed.clone()
    unclaimed[:, 0, 2, 2] = torch.tensor([[2], [0]]).T  # what neither of the two is believed for
    planes = torch.full((3, 1, 5, 5), around)
    planes[..., 2, 2] = own

    def kept(labels: Tensor, **rules: Any) -> bool:
        fused = channel_wise(labels, [0, 0, 1], certainty=planes, threshold=0.9, **rules)
        return int(fused.label[0, 2, 2]) != IGNORE

    of_its_own, of_the_window = own > 0.9, (24 * around + own) / 25 > 0.9
    assert kept(disputed, conflict="order", unclaimed="ignore") == of_its_own
    assert kept(disputed, conflict="certainty") == of_its_own
    assert kept(unclaimed, unclaimed="majority") == of_its_own
    assert kept(disputed, unclaimed="majority") == kept(unclaimed, conflict="order") == of_the_window


def members(seed: int, count: int = 3, classes: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, classes, (count, 1, 7, 9), dtype=torch.uint8, generator=generator)


MODES = st.sampled_from(["neighbourhood", "order", "ignore"])


@given(st.integers(0, 999), MODES, st.sampled_from(["neighbourhood", "majority", "ignore"]))
def test_one_claim_is_taken_under_every_mode(seed: int, conflict: str, unclaimed: str) -> None:
    labels = members(seed)
    policy = torch.randint(0, 3, (4,), generator=torch.Generator().manual_seed(seed)).tolist()
    fused = channel_wise(labels, policy, conflict=conflict, unclaimed=unclaimed)
    expected = torch.full_like(labels[0], IGNORE)
    claims = torch.zeros_like(labels[0])
    for name, member in enumerate(policy):
        claims += labels[member] == name
        expected[labels[member] == name] = name
    assert torch.equal(fused.claims, claims)
    assert torch.equal(fused.label[claims == 1], expected[claims == 1])
    if conflict == "ignore":
        assert (fused.label[claims > 1] == IGNORE).all()
    if unclaimed == "ignore":
        assert (fused.label[claims == 0] == IGNORE).all()
    assert fused.label.dtype == torch.uint8
    assert set(fused.label.unique().tolist()) <= {0, 1, 2, 3, IGNORE}


@given(st.integers(0, 999), st.integers(0, 2))
def test_a_constant_policy_is_that_member(seed: int, member: int) -> None:
    labels = members(seed)
    assert torch.equal(channel_wise(labels, [member] * 4).label, labels[member])


@given(st.integers(0, 999))
def test_who_is_never_believed_has_no_influence(seed: int) -> None:
    labels = members(seed)
    policy = [0, 2, 2, 0]
    corrupt = labels.clone()
    corrupt[1] = torch.randint(0, 4, labels[1].shape, dtype=torch.uint8)
    assert torch.equal(channel_wise(labels, policy).label, channel_wise(corrupt, policy).label)


@given(st.integers(0, 999), st.integers(1, 4))
def test_identical_members_are_one(seed: int, count: int) -> None:
    one = members(seed, 1)
    same = one.expand(count, -1, -1, -1)
    assert torch.equal(majority(same), one[0])
    policy = [name % count for name in range(4)]
    assert torch.equal(channel_wise(same, policy).label, one[0])


@given(st.integers(0, 999))
def test_majority_does_not_know_an_order_and_a_strict_one_wins(seed: int) -> None:
    labels = members(seed, 5)
    found = majority(labels)
    assert torch.equal(found, majority(labels.flip(0)))
    votes = F.one_hot(labels.long(), 4).sum(0)
    assert torch.equal(found.long(), (votes * 4 + torch.tensor([3, 2, 1, 0])).argmax(-1))


def test_members_may_abstain() -> None:
    labels = torch.tensor([[[[IGNORE, 1, IGNORE]]], [[[IGNORE, 0, 2]]]], dtype=torch.uint8)
    assert majority(labels).tolist() == [[[IGNORE, 0, 2]]]
    fused = channel_wise(labels, [0, 0, 1], unclaimed="ignore")
    assert fused.label.tolist() == [[[IGNORE, 1, 2]]]


@given(st.integers(0, 999))
def test_unification_ignores_the_scale_of_scores_and_the_average_does_not(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(3, 1, 4, 7, 9, generator=generator).softmax(2)
    powers = torch.tensor([0.2, 1.0, 9.0]).view(3, 1, 1, 1, 1)
    sharper = scores**powers  # strictly increasing for each member
    before, after = (s.max(2).indices.to(torch.uint8) for s in (scores, sharper))
    assert torch.equal(before, after)
    if seed == 0:
        assert not torch.equal(average(scores)[0], average(sharper / sharper.sum(2, keepdim=True))[0])


def test_a_disputed_pixel_takes_what_surrounds_it_and_order_obeys() -> None:
    labels = torch.full((2, 1, 5, 5), 1, dtype=torch.uint8)
    labels[1, 0, 2, 2] = 2  # member 0 claims 1 there, member 1 claims 2
    labels[1][labels[1] == 1] = 0
    policy = [0, 0, 1]
    assert channel_wise(labels, policy).label[0, 2, 2] == 1
    for order, winner in (([2, 1, 0], 2), ([0, 1, 2], 1)):
        assert channel_wise(labels, policy, conflict="order", order=order).label[0, 2, 2] == winner
    planes = torch.zeros(3, 1, 5, 5)
    planes[2] = 0.9
    planes[1] = 0.8
    assert channel_wise(labels, policy, conflict="certainty", certainty=planes).label[0, 2, 2] == 2


@given(st.integers(0, 999))
def test_a_higher_threshold_only_drops_labels(seed: int) -> None:
    labels, policy = members(seed), [0, 1, 2, 0]
    planes = torch.rand(4, 1, 7, 9, generator=torch.Generator().manual_seed(seed))
    kept = channel_wise(labels, policy).label
    for threshold in (0.2, 0.5, 0.9):
        found = channel_wise(labels, policy, certainty=planes, threshold=threshold).label
        left = found != IGNORE
        assert torch.equal(found[left], kept[left]) and not (left & (kept == IGNORE)).any()
        kept = found


@given(st.integers(0, 99), st.sampled_from([1, 3, 5, 7, 35]))
def test_votes_by_average_pooling(seed: int, window: int) -> None:
    """The definition: the highest mean of each class's claims in the window."""
    labels, policy = members(seed), [0, 1, 2, 0]
    claims = claims_of(labels, policy)
    planes = torch.stack([(claims == name).any(0) for name in range(4)]).double()
    pooled = (F.avg_pool2d(planes, window, stride=1, padding=window // 2) * window**2).round()
    expected = (pooled * 4 + torch.tensor([3, 2, 1, 0]).view(4, 1, 1, 1)).argmax(0).to(torch.uint8)
    expected[pooled.amax(0) == 0] = IGNORE
    assert torch.equal(count_claims(labels, policy, window=window).voted, expected)


def test_policies_equal_the_follow_up_outside_ties_and_unseen_classes(fixtures_dir: Path) -> None:
    tensors = numbers(fixtures_dir, "end_policy")
    for key in [k for k in tensors if k.endswith("/certainty")]:
        certainty, theirs = tensors[key], tensors[key.replace("/certainty", "/policy")].tolist()
        ours = choose_members(certainty)
        for name, (own, other) in enumerate(zip(ours, theirs, strict=True)):
            column = certainty[:, name]
            if column.isnan().all():
                assert own == int(certainty.nanmean(1).argmax()) and other == 0
            elif int((column == column.nan_to_num(nan=-1).max()).sum()) > 1:
                assert own <= other and column[own] == column[other]
            else:
                assert own == other, (key, name)


def test_a_policy_follows_its_members() -> None:
    certainty = torch.tensor([[0.9, 0.2, float("nan")], [0.5, 0.8, float("nan")]], dtype=torch.float64)
    assert choose_members(certainty) == [0, 1, 1]
    assert choose_members(certainty.flip(0)) == [1, 0, 0]
    assert choose_members(certainty**3) == [0, 1, 0]


def test_what_is_missing_is_said() -> None:
    with pytest.raises(ValueError, match="need the members' probabilities"):
        channel_wise(members(0), [0, 0, 0, 0], threshold=0.5)
    with pytest.raises(ValueError, match="window 4: an odd number"):
        channel_wise(members(0), [0, 0, 0, 0], window=4)


def test_disputed_pixels_are_counted_for_every_way_of_fusing(tmp_path: Path) -> None:
    """Of 2 x 2 pixels one is disputed, one is named by one member alone, one by nobody."""
    labels = torch.tensor([[[[0, 1], [2, IGNORE]]], [[[0, 2], [IGNORE, IGNORE]]], [[[0, 1], [2, IGNORE]]]])
    labels = labels.to(torch.uint8)
    assert distinct(labels)[0].tolist() == [[1, 2], [1, 0]]
    classes = class_list(["a", "b", "c"])
    fused = Fusion([], classes, FusionRules("pixel"), tmp_path).fuse("x", labels)
    counts = FusionCounts.of(labels, fused, 3)
    assert (counts.disputed, counts.unclaimed, counts.pixels) == (1, 1, 4)
