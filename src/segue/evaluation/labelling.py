"""Offline labels: a model labels pictures by a rule; the work can be interrupted, resumed and shared.

A folder of labels holds ``index/NAME.png`` (class ids, 255 without a label), ``confidence/NAME.png`` (the probability
of the predicted class, 255 is 1), on request ``soft/NAME.npz`` (all probabilities as bytes, at a quarter of the size;
soft labels at full size), ``classes.json``, ``made.json`` (how the labels were made) and, once every picture is
labelled, ``statistics.json``.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from segue.classes import ClassList
from segue.data.decoding import read_label
from segue.evaluation.confidences import Confidences
from segue.evaluation.model import Model
from segue.evaluation.prediction_files import index_file, write_class_list, write_pictures
from segue.evaluation.read_ahead import read_ahead
from segue.evaluation.soft_labels import packed
from segue.files import write_bytes, write_text
from segue.ops.balance import balanced_label, regularised_soft_label
from segue.ops.draw import grey
from segue.progress import counting
from segue.ranks import own_share
from segue.types import IGNORE

Rule: TypeAlias = Callable[[Tensor], "Labels"]
"""From probabilities (K,H,W) to labels."""

Handle = TypeVar("Handle")
"""What identifies a picture to whoever reads it: a file, or its index in a data set."""


class Labels(NamedTuple):
    """The labels of one picture.

    Attributes:
        hard: Class ids, IGNORE without a label.
        soft: Probabilities to learn instead of the ids, if any.
    """

    hard: UInt8[Tensor, "h w"]
    soft: Float[Tensor, "k h w"] | None = None


def most_probable(threshold: float = 0.0) -> Rule:
    """The most probable class, IGNORE where its probability is below the threshold."""

    def rule(probability: Tensor) -> Labels:
        sure, label = probability.max(0)
        return Labels(label.to(torch.uint8).masked_fill(sure < threshold, IGNORE))

    return rule


def all_probabilities() -> Rule:
    """The most probable class everywhere, and the probabilities of all classes as its soft label."""
    return lambda probability: Labels(probability.argmax(0).to(torch.uint8), probability)


def class_balanced(thresholds: Float[Tensor, " k"], *, alpha: float | None = None) -> Rule:
    """CBST's rule with a threshold for each class, see :func:`segue.ops.balance.balanced_label`.

    Args:
        alpha: For soft labels, see :func:`segue.ops.balance.regularised_soft_label`; None for hard ones.
    """

    def rule(probability: Tensor) -> Labels:
        limits = thresholds.to(probability.device)
        if alpha is None:
            return Labels(balanced_label(probability[None], limits)[0])
        soft, label = regularised_soft_label(probability[None], limits, alpha=alpha)
        return Labels(label[0], soft[0])

    return rule


def confident(thresholds: Float[Tensor, " k"]) -> Rule:
    """The most probable class, IGNORE where its probability is below the threshold of that class."""

    def rule(probability: Tensor) -> Labels:
        sure, label = probability.max(0)
        return Labels(label.to(torch.uint8).masked_fill(sure < thresholds.to(label.device)[label], IGNORE))

    return rule


def label_pictures(
    model: Model,
    pictures: Mapping[str, Handle],
    out: Path,
    *,
    rule: Rule | None = None,
    rule_of: Callable[[str, Tensor], Rule] | None = None,
    read: Callable[[Handle], UInt8[Tensor, "3 h w"]],
    soft: bool = False,
    share: tuple[int, int] = (0, 1),
    made: Mapping[str, Any] | None = None,
) -> int:
    """Label the pictures that have no label yet.

    Args:
        pictures: By name; slashes in a name become folders.
        rule: Soft labels that it makes are stored beside the ids, at full size; None for the most probable class.
        rule_of: Makes a rule for each picture, of its name and bytes (3,H,W), in the place of one for all.
        soft: Store the probabilities, shrunk, where the rule makes no soft labels.
        share: (i, n) labels only part i of n, for several processes or machines.
        made: See :func:`describe`.

    Returns:
        How many pictures this call labelled.

    Raises:
        ValueError: If a picture cannot be read, or the folder holds labels of other classes or made otherwise.
        OSError: If a file cannot be read or written; what was written stays.
    """
    describe(out, model.classes, made)
    every = rule or most_probable()
    chosen = rule_of or (lambda name, image: every)
    number, shares = share
    # The index is written last: where it exists, the other files do.
    waiting = [name for name in list(pictures)[number::shares] if not index_file(out, name).is_file()]
    with counting("labelling", len(waiting)) as done:
        for name, image in read_ahead(lambda name: read(pictures[name]), waiting):
            probability = model.probabilities(image[None])[0]
            label, sure = chosen(name, image)(probability), probability.amax(0)
            if label.soft is not None:
                write_bytes(out / "soft" / f"{name}.npz", packed(label.soft, shrink=1))
            elif soft:
                write_bytes(out / "soft" / f"{name}.npz", packed(probability))
            write_pictures(out, name, {"confidence": grey(sure), "index": label.hard.cpu().numpy()})
            done(name)
    if all(index_file(out, name).is_file() for name in pictures):
        content = label_statistics(out, list(pictures), model.classes)
        write_text(out / "statistics.json", json.dumps(content, indent=1) + "\n")
    return len(waiting)


def describe(out: Path, classes: ClassList, made: Mapping[str, Any] | None = None) -> None:
    """Write ``classes.json`` and ``made.json``, so that a folder never mixes labels of two kinds.

    Args:
        made: All that the labels depend on, as plain values; None if nobody else can write there.

    Raises:
        ValueError: If the folder holds labels of other classes or made otherwise.
    """
    path = out / "classes.json"
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")).get("classes") != list(classes.names):
        raise ValueError(f"{out} holds labels of other classes: choose another --out")
    if made is not None:
        _same_making(out, made)
        write_text(out / "made.json", json.dumps(made, indent=1) + "\n")
    write_class_list(out, classes)


def _same_making(out: Path, made: Mapping[str, Any]) -> None:
    path = out / "made.json"
    if not any((out / "index").rglob("*.png")):
        return
    if not path.is_file():
        raise ValueError(f"{out} holds labels that somebody else made: choose another --out")
    before: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for name in made:
        if before.get(name) != made[name]:
            raise ValueError(
                f"{out} holds labels made otherwise ({name} was {before.get(name)}, is {made[name]}): choose another"
                " --out"
            )


def label_statistics(out: Path, names: Sequence[str], classes: ClassList) -> dict[str, Any]:
    """The labelled pixels of each class and their mean confidence (None without any), and the unlabelled pixels."""
    pixels = np.zeros(256, dtype=np.int64)
    certainty = np.zeros(256)
    for name in names:
        label = read_label(index_file(out, name))
        confidence = read_label(out / "confidence" / f"{name}.png")
        pixels += np.bincount(label.ravel(), minlength=256)
        certainty += np.bincount(label.ravel(), weights=confidence.ravel() / 255, minlength=256)
    shown = {
        name: {
            "pixels": int(pixels[place]),
            "certainty": float(certainty[place] / pixels[place]) if pixels[place] else None,
        }
        for place, name in enumerate(classes.names)
    }
    return {"pictures": len(names), "classes": shown, "unlabelled": int(pixels[IGNORE])}


def confidences(
    model: Model,
    pictures: Mapping[str, Handle],
    *,
    read: Callable[[Handle], UInt8[Tensor, "3 h w"]],
    every: int = 4,
) -> Confidences:
    """How confidently and how often each class is predicted; processes divide the pictures, and all get the same.

    Args:
        every: Of the pixels that are predicted as a class, every n-th one's confidence counts.
    """
    found = Confidences(len(model.classes), every=every)
    names = list(pictures)
    own = [names[place] for place in own_share(len(names))]
    with counting("looking for thresholds", len(own)) as done:
        for name, image in read_ahead(lambda name: read(pictures[name]), own):
            sure, label = (part.flatten().cpu() for part in model.probabilities(image[None])[0].max(0))
            found.add(sure, label)
            done(name)
    found.join()
    return found
