"""What an evaluation measured, as scores.json holds it."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from segue.report.reading import number, read_object

REMEDY = "write it anew with `segue evaluate`"


@dataclass(frozen=True)
class Scores:
    """One evaluation, as the evaluator wrote it; fractions in [0, 1].

    Attributes:
        mean_iou: Over the counted classes; None if none was counted.
        per_class_iou: None where a class was absent.
        classes_counted: How many classes the mean is over.
        pixels: How many labelled pixels were compared; None if the file does not say.
        protocol: How it was measured.
        source_evaluation: The same on labelled source pictures, if they were evaluated.
        chosen: The classes that the mean was asked to be over; None for all.
        means: Means over other sets of classes, by the set's name.
    """

    mean_iou: float | None
    per_class_iou: dict[str, float | None]
    classes_counted: int
    pixels: int | None
    protocol: dict[str, Any]
    source_evaluation: "Scores | None" = None
    chosen: tuple[str, ...] | None = None
    means: dict[str, float | None] = field(default_factory=dict[str, float | None])

    @property
    def counted(self) -> frozenset[str]:
        """The classes that the mean is over."""
        among = self.per_class_iou if self.chosen is None else self.chosen
        return frozenset(name for name in among if self.per_class_iou.get(name) is not None)


def read_scores(path: Path) -> Scores | None:
    """The scores of a run, None if it has none; ValueError if they are damaged or an IoU is no fraction."""
    found = read_object(path)
    if found is None:
        return None
    source = found.get("source_evaluation")
    return _scores(path, found, source=cast(dict[str, Any], source) if isinstance(source, dict) else None)


def _scores(path: Path, found: dict[str, Any], *, source: dict[str, Any] | None) -> Scores:
    per_class = found.get("per_class_iou")
    if "mean_iou" not in found or not isinstance(per_class, dict):
        raise ValueError(f"{path} has no mean_iou or no per_class_iou: {REMEDY}")
    ious = {str(name): _fraction(path, iou) for name, iou in cast(dict[Any, Any], per_class).items()}
    counted, pixels, protocol = found.get("classes_counted"), found.get("pixels"), found.get("protocol")
    chosen, means = found.get("counted"), found.get("means")
    return Scores(
        mean_iou=_fraction(path, found["mean_iou"]),
        per_class_iou=ious,
        classes_counted=counted
        if isinstance(counted, int)
        else sum(iou is not None for iou in ious.values()),
        pixels=pixels if isinstance(pixels, int) else None,
        protocol=cast(dict[str, Any], protocol) if isinstance(protocol, dict) else {},
        source_evaluation=None if source is None else _scores(path, source, source=None),
        chosen=tuple(str(name) for name in cast(list[Any], chosen)) if isinstance(chosen, list) else None,
        means={str(name): _fraction(path, mean) for name, mean in cast(dict[Any, Any], means).items()}
        if isinstance(means, dict)
        else {},
    )


def _fraction(path: Path, value: object) -> float | None:
    parsed = number(value)
    if value is None or (parsed is not None and math.isnan(parsed)):
        return None
    if parsed is None or not 0 <= parsed <= 1:
        raise ValueError(f"{path} has the IoU {value!r}, which is no fraction in [0, 1]: {REMEDY}")
    return parsed
