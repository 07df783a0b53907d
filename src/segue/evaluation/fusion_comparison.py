"""A fusion compared, on labelled pictures, with the best member, the majority, random policies and an oracle.

This is for measuring only: no fused label depends on it, and the oracle reads the labels by which it is scored.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from segue.classes import ClassList
from segue.evaluation import policy
from segue.evaluation.fusing import Fusion
from segue.evaluation.members import OpenedMembers
from segue.evaluation.metrics import count, empty_confusion, scores, total
from segue.fusion_rules import FusionRules
from segue.scores import Scores
from segue.types import IGNORE

if TYPE_CHECKING:
    from torchmetrics.classification import MulticlassConfusionMatrix

Truth = Callable[[str], Tensor]
"""From a picture's name to its label (H,W) in the fused classes."""

RANDOM_POLICIES = 5


@dataclass(frozen=True)
class Comparison:
    """Mean IoU of fused labels, before any threshold; fractions in [0, 1].

    Attributes:
        classes: The number of classes that the means are over.
        used: The rules in use.
        members: Each member alone, by name.
        majority: The pixel-wise majority.
        random: Policies that believe a random member for each class, by seed.
        oracle: The policy that believes, for each class, the member with the highest IoU on these very labels.
        iou: For each member the IoU of each class; None where a class is not labelled.
        oracle_policy: The place of the member that the oracle believes, for each class.
        best_believed: The number of classes for which the policy in use believes a member with the highest IoU,
            and the number expected by chance; None without a policy.
    """

    pictures: int
    classes: int
    used: float
    members: dict[str, float]
    majority: float
    random: list[float]
    oracle: float
    iou: list[list[float | None]]
    oracle_policy: list[int]
    best_believed: tuple[int, float] | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def lines(self, used: str) -> str:
        """The comparison as a plain table for a terminal, in which ``used`` names the rules in use."""
        best = max(self.members, key=lambda name: self.members[name])
        mean = sum(self.random) / len(self.random)
        reach = f"{100 * min(self.random):.1f} to {100 * max(self.random):.1f}"
        rows = {
            f"used: {used}": f"{100 * self.used:.1f}",
            f"best member: {best}": f"{100 * self.members[best]:.1f}",
            "majority": f"{100 * self.majority:.1f}",
            f"{len(self.random)} random policies": f"{100 * mean:.1f}  ({reach})",
            "oracle policy, which reads these labels": f"{100 * self.oracle:.1f}",
        }
        width = max(map(len, rows))
        head = (
            f"fused labels of {self.pictures} labelled target pictures, mean IoU of {self.classes} classes in"
            " percent; for measuring only"
        )
        lines = [head, *(f"  {name.ljust(width)}  {value}" for name, value in rows.items())]
        if self.best_believed is not None:
            hits, chance = self.best_believed
            lines.append(
                f"  the best member is believed for {hits} classes; chance would do so for {chance:.1f}"
            )
        return "\n".join(lines)


def score_members(
    opened: OpenedMembers, truth: Truth, *, counted: Sequence[str] | None = None
) -> list[Scores]:
    """Each member's scores on labelled pictures.

    Args:
        counted: The classes that the mean is over; None for all that are labelled.

    Raises:
        ValueError: If a label is missing, or of another size than a member's.
    """
    confusions = [_empty(opened.classes) for _ in opened.members]
    for name in opened.names:
        label = truth(name)
        for member, confusion in zip(opened.members, confusions, strict=True):
            own = member.label(name)
            if own.shape != label.shape:
                raise ValueError(
                    f"{name}: the label is {label.shape[1]}x{label.shape[0]}, member {member.name}'s"
                    f" {own.shape[1]}x{own.shape[0]} pixels (width x height)"
                )
            _count(confusion, own, label)
    return [_read(confusion, opened.classes, counted) for confusion in confusions]


def compare(
    opened: OpenedMembers,
    rules: FusionRules,
    truth: Truth,
    alone: Sequence[Scores],
    *,
    counted: Sequence[str] | None = None,
) -> Comparison:
    """Fuse labelled pictures by the rules in use and by others, and score the results.

    Args:
        rules: Those in use; their threshold is left out, since it says what to keep and not whom to believe.
        alone: The members' own scores on these pictures, from :func:`score_members`.

    Raises:
        ValueError: If a prediction or a label is missing or damaged.
    """
    used, classes = replace(rules, threshold=0.0), opened.classes
    names = [member.name for member in opened.members]
    others = [policy.at_random(classes, names, seed) for seed in range(RANDOM_POLICIES)]
    oracle = policy.by_truth(alone, classes)
    by_class = used if used.kind == "channel" else FusionRules(window=used.window)
    candidates = [used, FusionRules("pixel"), *(replace(by_class, policy=one) for one in (*others, oracle))]
    fusions = [Fusion(opened.members, classes, one, Path()) for one in candidates]
    confusions = [_empty(classes) for _ in candidates]
    for name in opened.names:
        label = truth(name)
        labels = torch.stack([member.label(name) for member in opened.members])[:, None]
        for fusion, confusion in zip(fusions, confusions, strict=True):
            _count(confusion, fusion.fuse(name, labels).label[0], label)
    own, majority, *random, best = (_read(one, classes, counted).mean_iou for one in confusions)
    return Comparison(
        pictures=len(opened.names),
        classes=len(alone[0].averaged),
        used=own,
        members={name: one.mean_iou for name, one in zip(names, alone, strict=True)},
        majority=majority,
        random=random,
        oracle=best,
        iou=[[one.per_class_iou[name] for name in classes.names] for one in alone],
        oracle_policy=list(oracle),
        best_believed=None if used.policy is None else _best_believed(alone, classes, used.policy),
    )


def _best_believed(alone: Sequence[Scores], classes: ClassList, believed: Sequence[int]) -> tuple[int, float]:
    hits, chance = 0, 0.0
    for name, member in zip(classes.names, believed, strict=True):
        own = [one.per_class_iou[name] for one in alone]
        if own[member] is not None:
            best = [iou == max(filter(None, own), default=0.0) for iou in own]
            hits += best[member]
            chance += sum(best) / len(best)
    return hits, chance


def _empty(classes: ClassList) -> "MulticlassConfusionMatrix":
    # Ignored pixels get a class of their own: a miss of the true class, but no false alarm for any other.
    return empty_confusion(len(classes) + 1, over_ranks=False)


def _count(confusion: "MulticlassConfusionMatrix", own: Tensor, label: Tensor) -> None:
    count(confusion, own.masked_fill(own == IGNORE, confusion.num_classes - 1).long(), label=label.long())


def _read(
    confusion: "MulticlassConfusionMatrix", classes: ClassList, counted: Sequence[str] | None
) -> Scores:
    # No label has the extra class, so it enters no mean.
    whole = scores(total(confusion), [*classes.names, ""])
    ious = {name: whole.per_class_iou[name] for name in classes.names}
    return replace(whole, per_class_iou=ious).over(counted, {})
