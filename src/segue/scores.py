"""The result of an evaluation, which is kept in ``scores.json`` and read by the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from segue.classes import nearest

Measure = Literal["mean_iou", "accuracy", "class_accuracy"]

CALLED: dict[Measure, str] = {
    "mean_iou": "mean IoU",
    "accuracy": "accuracy",
    "class_accuracy": "mean accuracy of the classes",
}
"""What the number that sums up an evaluation is called."""


@dataclass(frozen=True)
class Scores:
    """One evaluation; IoU and accuracy are fractions in [0, 1].

    Where whole pictures are named, a picture is one pixel.

    Attributes:
        mean_iou: The mean over the counted classes that have an IoU.
        per_class_iou: By class name, in training order; None where the class was nowhere labelled.
        pixels: The number of labelled pixels.
        accuracy: The share of them that is right.
        protocol: How they were measured, as plain values.
        counted: The classes that the mean is over; None for all.
        means: Means over other sets of classes, by the name of the set; None where no class has an IoU.
        measure: Which number sums it up: "mean_iou" for pixels, "accuracy" or "class_accuracy" for whole pictures.
        per_class_accuracy: The share of each class's pictures that is right; empty for pixels.
        confusion: The number of pictures, rows by label and columns by prediction, in training order; empty for pixels.
    """

    mean_iou: float
    per_class_iou: dict[str, float | None]
    pixels: int
    accuracy: float
    protocol: dict[str, Any] = field(default_factory=dict)
    counted: tuple[str, ...] | None = None
    means: dict[str, float | None] = field(default_factory=dict[str, float | None])
    measure: Measure = "mean_iou"
    per_class_accuracy: dict[str, float | None] = field(default_factory=dict[str, float | None])
    confusion: list[list[int]] = field(default_factory=list[list[int]])

    @property
    def headline(self) -> float:
        """The number that sums it up."""
        if self.measure == "class_accuracy":
            known = [self.per_class_accuracy[name] or 0.0 for name in self.averaged]
            return sum(known) / len(known)
        return self.accuracy if self.measure == "accuracy" else self.mean_iou

    @property
    def called(self) -> str:
        """What that number is called."""
        return CALLED[self.measure]

    @property
    def by_class(self) -> dict[str, float | None]:
        """The number of each class: its accuracy where whole pictures are named, otherwise its IoU."""
        return self.per_class_accuracy or self.per_class_iou

    @property
    def averaged(self) -> tuple[str, ...]:
        """The classes that the mean is over: counted, and labelled somewhere."""
        names = self.per_class_iou if self.counted is None else self.counted
        return tuple(name for name in names if self.per_class_iou.get(name) is not None)

    def over(self, counted: Sequence[str] | None, also: Mapping[str, Sequence[str]]) -> "Scores":
        """The same measurement with its mean over ``counted`` classes (None for all), and means over further sets.

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
        """The mean IoU over some classes, such as SYNTHIA's 16 or 13 of Cityscapes' 19.

        Raises:
            ValueError: If a class is unknown or none of them has an IoU.
        """
        unknown = [name for name in names if name not in self.per_class_iou]
        if unknown:
            raise ValueError(f"unknown class {unknown[0]!r}{nearest(unknown[0], list(self.per_class_iou))}")
        ious = [iou for name in names if (iou := self.per_class_iou[name]) is not None]
        if not ious:
            raise ValueError(f"none of these classes was labelled: {', '.join(names)}; nothing to average")
        return sum(ious) / len(ious)

    def to_json(self) -> dict[str, Any]:
        """The content of ``scores.json``: plain values, None for classes that were nowhere labelled."""
        narrowed = {} if self.counted is None else {"counted": list(self.counted)}
        further: dict[str, Any] = {"means": dict(self.means)} if self.means else {}
        if self.confusion:
            further |= {
                "measure": self.measure,
                "class_accuracy": replace(self, measure="class_accuracy").headline,
                "per_class_accuracy": dict(self.per_class_accuracy),
                "confusion": self.confusion,
            }
        return {
            "mean_iou": self.mean_iou,
            **further,
            "per_class_iou": dict(self.per_class_iou),
            **narrowed,
            "classes_counted": len(self.averaged),
            "pixels": self.pixels,
            "accuracy": self.accuracy,
            "protocol": dict(self.protocol),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any], origin: Path | str) -> "Scores":
        """What :meth:`to_json` wrote; other keys are ignored, and an error names the origin.

        Raises:
            ValueError: If something is missing or not a fraction.
        """
        try:
            counted = content.get("counted")
            return cls(
                mean_iou=_fraction(content, "mean_iou"),
                per_class_iou=_fractions(content["per_class_iou"]),
                pixels=int(content["pixels"]),
                accuracy=_fraction(content, "accuracy"),
                protocol=dict(content.get("protocol", {})),
                counted=None if counted is None else tuple(map(str, counted)),
                means=_fractions(content.get("means", {})),
                measure=_measure(content.get("measure", "mean_iou")),
                per_class_accuracy=_fractions(content.get("per_class_accuracy", {})),
                confusion=[[int(cell) for cell in row] for row in content.get("confusion", [])],
            )
        except KeyError as error:
            reason = f"it has no {error.args[0]}"
        except (AttributeError, TypeError, ValueError) as error:
            reason = str(error)
        raise ValueError(
            f"{origin} does not hold scores ({reason}): restore it, or write it again with `segue evaluate`"
        )


def _measure(name: object) -> Measure:
    if name not in get_args(Measure):
        raise ValueError(f"measure is {name!r}, none of {', '.join(get_args(Measure))}")
    return cast(Measure, name)


def _fraction(content: Mapping[str, Any], name: str) -> float:
    value = content[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{name} is {value!r}, which is not a fraction in [0, 1]")
    return float(value)


def _fractions(content: object) -> dict[str, float | None]:
    if not isinstance(content, dict):
        raise TypeError(f"{content!r} is not a mapping of names to fractions")
    values = cast(dict[str, Any], content)
    return {name: None if value is None else _fraction(values, name) for name, value in values.items()}


def protocol_line(protocol: Mapping[str, Any]) -> str:
    """How a score was measured, in one line, as far as the protocol says it."""
    classes, over = protocol.get("classes"), protocol.get("mean_over")
    words: list[str] = []
    if classes:
        words.append(f"{len(over)} of {len(classes)} classes" if over else f"{len(classes)} classes")
    labels = protocol.get("label_size")
    if labels:
        words.append(f"labels of {labels if isinstance(labels, str) else _size(labels)}")
    words += _seen_at(protocol)
    if "flip" in protocol or "scales" in protocol:
        scales = [f"{scale:g}" for scale in protocol.get("scales", [1.0])]
        extra = (["mirrored"] if protocol.get("flip") else []) + (scales if scales != ["1"] else [])
        words.append(f"averaged over {', '.join(extra)}" if extra else "no test-time augmentation")
    words += [str(protocol[key]) for key in ("network", "precision") if protocol.get(key)]
    if protocol.get("batch_statistics"):
        words.append(f"batch statistics: {protocol['batch_statistics']}")
    if "pictures" in protocol:
        words.append(f"{protocol['pictures']:,} pictures".replace(",", "\N{NARROW NO-BREAK SPACE}"))
    return " \N{MIDDLE DOT} ".join(words)


def _seen_at(protocol: Mapping[str, Any]) -> list[str]:
    """The size at which pictures were predicted, and how they were cut into windows."""
    box, window = protocol.get("resize"), protocol.get("window")
    words = [f"fitted to {_size(box)}" if box else "own size"] if "resize" in protocol else []
    mode = protocol.get("mode")
    if mode == "whole":
        words.append("whole")
    elif mode and window:
        windows = f"windows of {_size(window)}, overlap {protocol.get('overlap')}, {protocol.get('blend')}"
        whole_up_to = f"whole up to {_size([2 * side for side in window])}, then "
        words.append(whole_up_to + windows if mode == "auto" else windows)
    return words


def _size(sides: Sequence[int]) -> str:
    return "x".join(str(side) for side in sides)
