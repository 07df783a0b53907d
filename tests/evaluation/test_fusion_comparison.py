"""What a fusion is worth beside others: every row is what fusing by hand gives, and abstaining harms no other class."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from segue.classes import class_list
from segue.evaluation.fusion_comparison import RANDOM_POLICIES, compare, score_members
from segue.evaluation.members import OpenedMembers
from segue.evaluation.policy import at_random
from segue.fusion_rules import FusionRules
from segue.ops.fusion import channel_wise, majority
from segue.types import IGNORE

CLASSES = class_list(["road", "car", "sky"])
TRUTH = torch.tensor([[0, 0, 0, 1], [0, 1, 1, 1], [2, 2, 2, 2], [2, 2, 0, 1]], dtype=torch.uint8)


@dataclass
class Says:
    """A member that says the same of every picture."""

    name: str
    said: Tensor
    has_probabilities: bool = True

    @property
    def label(self) -> Callable[[str], Tensor]:
        return lambda picture: self.said

    def probability(self, picture: str) -> Tensor:
        return torch.zeros(3, *self.said.shape)  # below any threshold


def opened(*said: Tensor) -> OpenedMembers:
    return OpenedMembers([Says(f"m{place}", one) for place, one in enumerate(said)], CLASSES, ["a"])


def wrong_for(*names: int) -> Tensor:
    """The truth, but that some classes are taken for the next one."""
    said = TRUTH.clone()
    for name in names:
        said[name == TRUTH] = (name + 1) % 3
    return said


def truth(picture: str) -> Tensor:
    return TRUTH


def ious(label: Tensor) -> list[float]:
    hits = [int(((label == k) & (k == TRUTH)).sum()) for k in range(3)]
    either = [int(((label == k) | (k == TRUTH)).sum()) for k in range(3)]
    return [hit / union for hit, union in zip(hits, either, strict=True)]


def mean_iou(label: Tensor) -> float:
    return sum(ious(label)) / 3


def test_every_row_is_what_fusing_by_hand_gives() -> None:
    said = [wrong_for(0), wrong_for(1), wrong_for(1, 2)]
    members, used = opened(*said), FusionRules(policy=(2, 2, 2), window=3)
    found = compare(members, used, truth, score_members(members, truth))
    stacked = torch.stack(said)[:, None]

    names = [member.name for member in members.members]
    drawn = [at_random(CLASSES, names, seed) for seed in range(RANDOM_POLICIES)]
    assert found.used == pytest.approx(found.members["m2"]) == pytest.approx(mean_iou(said[2]))
    assert found.majority == pytest.approx(mean_iou(majority(stacked)[0]))
    fused = [channel_wise(stacked, policy, window=3).label[0] for policy in (*drawn, found.oracle_policy)]
    assert [*found.random, found.oracle] == pytest.approx([mean_iou(label) for label in fused])
    assert found.oracle > found.used and found.pictures == 1 and found.classes == 3
    for row, own in zip(found.iou, said, strict=True):
        assert row == pytest.approx(ious(own))
    best = [max(range(3), key=lambda member: (found.iou[member][k], -member)) for k in range(3)]
    assert found.oracle_policy == best and found.best_believed == (sum(b == 2 for b in best), 1.0)


def test_the_threshold_is_left_out_and_other_kinds_have_no_policy() -> None:
    members = opened(wrong_for(0), wrong_for(1))
    scores = score_members(members, truth)
    plain = compare(members, FusionRules(policy=(1, 0, 0)), truth, scores)
    assert compare(members, FusionRules(policy=(1, 0, 0), threshold=0.9), truth, scores) == plain
    by_vote = compare(members, FusionRules("pixel"), truth, scores)
    assert by_vote.used == by_vote.majority and by_vote.best_believed is None
    assert by_vote.oracle == plain.oracle


def test_what_is_left_open_is_a_miss_and_no_false_alarm() -> None:
    """A member that says nothing of the sky still knows roads: nothing is taken for road that it did not name so."""
    silent = TRUTH.masked_fill(TRUTH == 2, IGNORE)
    (scores,) = score_members(opened(silent), truth)
    assert scores.per_class_iou == {"road": 1.0, "car": 1.0, "sky": 0.0}
    assert scores.mean_iou == pytest.approx(2 / 3)


def test_the_mean_is_over_the_counted_classes() -> None:
    (scores,) = score_members(opened(wrong_for(2)), truth, counted=["car"])
    assert scores.mean_iou == 1.0 and len(scores.averaged) == 1


def test_it_is_said_in_a_few_lines() -> None:
    members = opened(wrong_for(0), wrong_for(1))
    lines = compare(members, FusionRules(policy=(1, 0, 0)), truth, score_members(members, truth)).lines(
        "by hand"
    )
    for part in (
        "used: by hand",
        "best member: m",
        "majority",
        f"{RANDOM_POLICIES} random policies",
        "oracle",
    ):
        assert part in lines
    assert "for measuring only" in lines and "the best member is believed for 3 classes" in lines
