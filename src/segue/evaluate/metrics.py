"""Scores of a segmentation: one confusion matrix over all pictures, and what is read from it.

A class without a single labelled pixel is not applicable: its IoU is None and it stays out of the mean. What
was wrongly predicted as that class still counts, as a miss of the class that the pixel really has.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Int64, Integer
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from segue.classes import nearest
from segue.types import IGNORE


@dataclass(frozen=True)
class Scores:
    """What an evaluation found; IoU and accuracy are fractions in [0, 1].

    Attributes:
        mean_iou: The mean over the counted classes that have an IoU.
        per_class_iou: By class name, in training order; None where the class is not applicable.
        pixels: How many labelled pixels were compared.
        accuracy: The share of them that is right.
        protocol: How it was measured; plain values for JSON.
        counted: The classes that the mean is over, where they are fewer than all.
        means: Means over other sets of classes, by the name of the set; None where no class has an IoU.
    """

    mean_iou: float
    per_class_iou: dict[str, float | None]
    pixels: int
    accuracy: float
    protocol: dict[str, Any] = field(default_factory=dict)
    counted: tuple[str, ...] | None = None
    means: dict[str, float | None] = field(default_factory=dict[str, float | None])

    @property
    def classes_counted(self) -> int:
        """How many classes the mean is over."""
        names = self.per_class_iou if self.counted is None else self.counted
        return sum(self.per_class_iou[name] is not None for name in names)

    def over(self, counted: Sequence[str] | None, also: Mapping[str, Sequence[str]]) -> "Scores":
        """The same measurement with its mean over some of the classes, and further means beside it.

        Args:
            counted: Classes of this evaluation; None for all.
            also: Further sets of classes by name.

        Raises:
            ValueError: If a class is unknown or none of the counted ones has an IoU.
        """
        if counted is None and not also:
            return self
        chosen = None if counted is None else tuple(counted)
        named = {name: list(names) for name, names in also.items()}
        return replace(
            self,
            mean_iou=self.mean_over(list(self.per_class_iou) if chosen is None else chosen),
            counted=chosen,
            means={name: self._mean_or_none(names) for name, names in named.items()},
            protocol={
                **self.protocol,
                "mean_over": None if chosen is None else list(chosen),
                "means_over": named,
            },
        )

    def _mean_or_none(self, names: Sequence[str]) -> float | None:
        has_iou = any(self.per_class_iou.get(name) is not None for name in names)
        return self.mean_over(names) if has_iou or not set(names) <= set(self.per_class_iou) else None

    def mean_over(self, names: Sequence[str]) -> float:
        """The mean IoU over some of the classes, as SYNTHIA's 16 and 13 of Cityscapes' 19.

        Args:
            names: Classes of this evaluation; those without an IoU are left out.

        Returns:
            A fraction in [0, 1].

        Raises:
            ValueError: If a class is unknown or none of them has an IoU.
        """
        unknown = [name for name in names if name not in self.per_class_iou]
        if unknown:
            raise ValueError(f"unknown class {unknown[0]!r}{nearest(unknown[0], list(self.per_class_iou))}")
        found = [iou for name in names if (iou := self.per_class_iou[name]) is not None]
        if not found:
            raise ValueError(f"none of these classes was labelled: {', '.join(names)}; nothing to average")
        return sum(found) / len(found)

    def to_json(self) -> dict[str, Any]:
        """What scores.json holds: plain values, None for classes that are not applicable."""
        narrowed = {} if self.counted is None else {"counted": list(self.counted)}
        further = {"means": dict(self.means)} if self.means else {}
        return {
            "mean_iou": self.mean_iou,
            **further,
            "per_class_iou": dict(self.per_class_iou),
            **narrowed,
            "classes_counted": self.classes_counted,
            "pixels": self.pixels,
            "accuracy": self.accuracy,
            "protocol": dict(self.protocol),
        }


def empty_confusion(classes: int, *, over_ranks: bool = True) -> MulticlassConfusionMatrix:
    """A confusion matrix of zeros, to be filled by :func:`count` and read by :func:`total`.

    Args:
        classes: How many there are.
        over_ranks: Whether the total is over all processes, which then all have to ask for it.

    Returns:
        The matrix, on the processor.
    """
    # Inputs are checked where they are read: doing it here would wait for the device at every picture.
    confusion = MulticlassConfusionMatrix(
        classes, ignore_index=IGNORE, validate_args=False, sync_on_compute=over_ranks
    )
    nothing = torch.full((1,), IGNORE)
    # Without any update a process that was given no picture would warn when it is asked for its share.
    confusion.update(torch.zeros_like(nothing), nothing)
    return confusion


def count(
    confusion: MulticlassConfusionMatrix,
    prediction: Integer[Tensor, "*b h w"],
    *,
    label: Integer[Tensor, "*b h w"],
) -> None:
    """Add pictures to a confusion matrix; prediction below its number of classes, label too or IGNORE."""
    if not torch.are_deterministic_algorithms_enabled():
        confusion.update(prediction, label)
        return
    # Whole numbers add up alike in any order, but in deterministic mode torchmetrics would compare every
    # pixel with every cell of the matrix: gigabytes for one photograph.
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        confusion.update(prediction, label)
    finally:
        torch.use_deterministic_algorithms(True, warn_only=warn_only)


def total(confusion: MulticlassConfusionMatrix) -> Int64[Tensor, "k k"]:
    """The counts, rows by label and columns by prediction."""
    # torchmetrics returns the matrix of a single class as a scalar.
    return confusion.compute().reshape(confusion.num_classes, confusion.num_classes)


def iou_per_class(confusion: Int64[Tensor, "k k"], *, absent_counts: bool = False) -> list[float | None]:
    """Intersection over union of every class.

    Args:
        confusion: Rows by label, columns by prediction.
        absent_counts: Whether a class that is predicted but nowhere labelled has the IoU 0 (as in
            mmsegmentation) instead of none.

    Returns:
        Fractions in [0, 1], None for classes that are not applicable.
    """
    matrix = confusion.cpu()
    hits, labelled, predicted = matrix.diagonal(), matrix.sum(dim=1), matrix.sum(dim=0)
    union = labelled + predicted - hits
    counts = union if absent_counts else labelled
    ious = (hits.double() / union.clamp(min=1)).tolist()
    return [iou if applies > 0 else None for iou, applies in zip(ious, counts.tolist(), strict=True)]


def picture_mean_iou(
    prediction: Integer[Tensor, "h w"], *, label: Integer[Tensor, "h w"], classes: int
) -> float | None:
    """The mean IoU over the classes labelled in one picture; None where nothing is labelled."""
    alone = empty_confusion(classes, over_ranks=False)
    count(alone, prediction, label=label)
    found = [iou for iou in iou_per_class(total(alone)) if iou is not None]
    return math.fsum(found) / len(found) if found else None


def scores(
    confusion: Int64[Tensor, "k k"],
    names: Sequence[str],
    *,
    absent_counts: bool = False,
    protocol: Mapping[str, Any] | None = None,
) -> Scores:
    """Read the scores from a confusion matrix over all pictures.

    Args:
        confusion: Rows by label, columns by prediction.
        names: The classes in training order.
        absent_counts: As in :func:`iou_per_class`.
        protocol: How it was measured.

    Returns:
        The scores, with what they are called.

    Raises:
        ValueError: If names and matrix differ in size, or not a single pixel was labelled.
    """
    if len(names) != len(confusion):
        raise ValueError(f"{len(names)} class names for a confusion matrix of {len(confusion)} classes")
    pixels = int(confusion.sum())
    if pixels == 0:
        raise ValueError(
            "no labelled pixel: there is nothing to score; look at the labels and at the class map"
        )
    ious = iou_per_class(confusion, absent_counts=absent_counts)
    found = [iou for iou in ious if iou is not None]
    return Scores(
        mean_iou=math.fsum(found) / len(found),
        per_class_iou=dict(zip(names, ious, strict=True)),
        pixels=pixels,
        accuracy=int(confusion.diagonal().sum()) / pixels,
        protocol=dict(protocol or {}),
    )
