"""Scores of a segmentation, read from one confusion matrix over all pictures.

A class without a single labelled pixel is not applicable: its IoU is None and it stays out of the mean. Pixels wrongly
predicted as that class still count, as misses of the class that they really have.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int64, Integer
from torch import Tensor

from segue.ranks import several
from segue.scores import Scores
from segue.types import IGNORE

if TYPE_CHECKING:
    from torchmetrics.classification import MulticlassConfusionMatrix


def empty_confusion(classes: int, *, over_ranks: bool = True) -> "MulticlassConfusionMatrix":
    """A confusion matrix of zeros on the processor, filled by :func:`count` and read by :func:`total`.

    Args:
        over_ranks: Whether the total is over all processes, which then all have to ask for it.
    """
    # Imported here, because with all of its metrics it takes longer than torch: who never scores does not wait for it.
    from torchmetrics.classification import MulticlassConfusionMatrix

    # Inputs are checked where they are read: doing it here would wait for the device at every picture.
    confusion = MulticlassConfusionMatrix(
        classes,
        ignore_index=IGNORE,
        validate_args=False,
        sync_on_compute=over_ranks,
        distributed_available_fn=several,  # counts are summed exactly where pictures are divided
    )
    nothing = torch.full((1,), IGNORE)
    # Without any update, a process that was given no picture would warn when it is asked for its counts.
    confusion.update(torch.zeros_like(nothing), nothing)
    return confusion


def count(
    confusion: "MulticlassConfusionMatrix",
    prediction: Integer[Tensor, "*b h w"],
    *,
    label: Integer[Tensor, "*b h w"],
) -> None:
    """Add pictures to a confusion matrix; predictions are class ids, labels class ids or IGNORE."""
    if not torch.are_deterministic_algorithms_enabled():
        confusion.update(prediction, label)
        return
    # The sum of whole numbers does not depend on their order, but in deterministic mode torchmetrics would compare
    # every pixel with every cell of the matrix: gigabytes for one photograph.
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        confusion.update(prediction, label)
    finally:
        torch.use_deterministic_algorithms(True, warn_only=warn_only)


def total(confusion: "MulticlassConfusionMatrix") -> Int64[Tensor, "k k"]:
    """The counts, rows by label and columns by prediction."""
    # torchmetrics returns the matrix of a single class as a scalar.
    return confusion.compute().reshape(confusion.num_classes, confusion.num_classes)


def iou_per_class(confusion: Int64[Tensor, "k k"]) -> list[float | None]:
    """Intersection over union of every class: fractions in [0, 1], None for classes that are nowhere labelled.

    Args:
        confusion: Rows by label, columns by prediction.
    """
    matrix = confusion.cpu()
    hits, labelled, predicted = matrix.diagonal(), matrix.sum(dim=1), matrix.sum(dim=0)
    union = labelled + predicted - hits
    ious = (hits.double() / union.clamp(min=1)).tolist()
    return [iou if applies > 0 else None for iou, applies in zip(ious, labelled.tolist(), strict=True)]


def accuracy_per_class(confusion: Int64[Tensor, "k k"]) -> list[float | None]:
    """The share of every class's labelled pixels, or pictures, that is right; None for a class without any."""
    matrix = confusion.cpu()
    labelled = matrix.sum(dim=1).tolist()
    return [
        hits / all_ if all_ else None for hits, all_ in zip(matrix.diagonal().tolist(), labelled, strict=True)
    ]


def mean_of(ious: Iterable[float | None]) -> float | None:
    """The mean over the applicable classes; None without any."""
    applicable = [iou for iou in ious if iou is not None]
    return math.fsum(applicable) / len(applicable) if applicable else None


def picture_mean_iou(
    prediction: Integer[Tensor, "h w"], *, label: Integer[Tensor, "h w"], classes: int
) -> float | None:
    """The mean IoU over the classes labelled in one picture; None where nothing is labelled."""
    confusion = empty_confusion(classes, over_ranks=False)
    count(confusion, prediction, label=label)
    return mean_of(iou_per_class(total(confusion)))


def scores(
    confusion: Int64[Tensor, "k k"],
    names: Sequence[str],
    *,
    protocol: Mapping[str, Any] | None = None,
    whole: bool = False,
) -> Scores:
    """Read the scores from a confusion matrix over all pictures.

    Args:
        confusion: Rows by label, columns by prediction.
        names: The classes in training order.
        whole: Whether whole pictures were named: then the accuracy of every class and the matrix belong to the scores.

    Raises:
        ValueError: If names and matrix differ in size, or not a single pixel was labelled.
    """
    if len(names) != len(confusion):
        raise ValueError(f"{len(names)} class names for a confusion matrix of {len(confusion)} classes")
    pixels, ious = int(confusion.sum()), iou_per_class(confusion)
    mean_iou = mean_of(ious)
    if mean_iou is None:
        raise ValueError(
            "no labelled pixel: there is nothing to score; look at the labels and at the class map"
        )
    return Scores(
        mean_iou=mean_iou,
        per_class_iou=dict(zip(names, ious, strict=True)),
        pixels=pixels,
        accuracy=int(confusion.diagonal().sum()) / pixels,
        protocol=dict(protocol or {}),
        measure="accuracy" if whole else "mean_iou",
        per_class_accuracy=dict(zip(names, accuracy_per_class(confusion), strict=True)) if whole else {},
        confusion=confusion.tolist() if whole else [],
    )
