"""Offline labels: a predictor over a folder of pictures, by a rule, one PNG each, resumable and shareable.

A folder of labels holds ``index/NAME.png`` (class ids, 255 where nothing is said), ``confidence/NAME.png`` (the
probability of the predicted class, 255 is 1), with ``soft`` also ``soft/NAME.npz`` (all probabilities as bytes, at a
quarter of the size; soft labels in full size), ``classes.json``, ``made.json`` (how), and, once every picture is
labelled, ``statistics.json``.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from PIL import Image
from torch import Tensor

from segue.classes import ClassList
from segue.data.picture import read_label
from segue.evaluate.predict import Predictor, normalised
from segue.evaluate.read_ahead import read_ahead
from segue.files import write_bytes, write_text
from segue.ops.balance import balanced_label, regularised_soft_label
from segue.ops.draw import grey
from segue.types import IGNORE

Rule: TypeAlias = Callable[[Tensor], "Labels"]
"""From probabilities (K,H,W)."""

Handle = TypeVar("Handle")
"""What a picture is read by: a file, or its number in a data set."""

SOFT_SHRINK = 4
"""By what the sides of stored probabilities are divided."""


class Labels(NamedTuple):
    """What is said of a picture.

    Attributes:
        hard: Class ids, IGNORE where nothing is said.
        soft: Probabilities that are to be learnt in their place; None for the ids.
    """

    hard: UInt8[Tensor, "h w"]
    soft: Float[Tensor, "k h w"] | None = None


@dataclass(frozen=True)
class Eye:
    """Who looks at the pictures.

    Attributes:
        predictor: Probabilities of the classes.
        classes: In training order.
        mean: Grey levels that normalisation subtracts.
        std: Grey levels that normalisation divides by.
        device: Where it predicts.
    """

    predictor: Predictor
    classes: ClassList
    mean: Sequence[float]
    std: Sequence[float]
    device: torch.device

    def __call__(self, image: UInt8[Tensor, "3 h w"]) -> Float[Tensor, "k h w"]:
        """The probabilities of one picture."""
        seen = normalised(image[None], mean=self.mean, std=self.std, device=self.device)
        found = self.predictor(seen)[0]
        if len(found) != len(self.classes):
            raise ValueError(
                f"the model tells {len(found)} classes apart, its card names {len(self.classes)}"
            )
        return found


def most_probable(threshold: float = 0.0) -> Rule:
    """The class of highest probability, IGNORE where that is below a threshold."""

    def rule(probability: Tensor) -> Labels:
        sure, label = probability.max(0)
        return Labels(label.to(torch.uint8).masked_fill(sure < threshold, IGNORE))

    return rule


def class_balanced(thresholds: Float[Tensor, " k"], *, alpha: float | None = None) -> Rule:
    """CBST's rule, see :func:`segue.ops.balance.balanced_label`.

    Args:
        thresholds: Of each class.
        alpha: For soft labels, see :func:`segue.ops.balance.regularised_soft_label`; None for hard ones.
    """

    def rule(probability: Tensor) -> Labels:
        limits = thresholds.to(probability.device)
        if alpha is None:
            return Labels(balanced_label(probability[None], limits)[0])
        soft, label = regularised_soft_label(probability[None], limits, alpha=alpha)
        return Labels(label[0], soft[0])

    return rule


def label_pictures(
    eye: Eye,
    pictures: Mapping[str, Handle],
    out: Path,
    *,
    rule: Rule,
    read: Callable[[Handle], UInt8[Tensor, "3 h w"]],
    soft: bool = False,
    share: tuple[int, int] = (0, 1),
    made: Mapping[str, Any] | None = None,
    watch: Callable[[object], None] | None = None,
) -> int:
    """Label pictures that are not labelled yet.

    Args:
        eye: Who looks.
        pictures: Files, or numbers, by name; slashes in a name become folders.
        out: The folder of labels.
        rule: From probabilities to labels; soft ones are stored beside the ids, in full size.
        read: Opens one.
        soft: Whether the probabilities are stored, small, where the rule makes no soft labels of them.
        share: Which part of how many is to be labelled: one of several processes or machines.
        made: See :func:`describe`.
        watch: Called after every picture.

    Returns:
        How many pictures were labelled now.

    Raises:
        ValueError: If a picture cannot be read, or the folder holds labels of other classes or made otherwise.
        OSError: If a file cannot be read or written; what was written stays.
    """
    describe(out, eye.classes, made)
    number, shares = share
    mine = [name for place, name in enumerate(pictures) if place % shares == number]
    # The index is written last: where it is, the rest is.
    waiting = [name for name in mine if not (out / "index" / f"{name}.png").is_file()]
    for name, image in read_ahead(lambda name: read(pictures[name]), waiting):
        probability = eye(image)
        label, sure = rule(probability), probability.amax(0)
        if label.soft is not None:
            write_bytes(out / "soft" / f"{name}.npz", packed(label.soft, shrink=1))
        elif soft:
            write_bytes(out / "soft" / f"{name}.npz", packed(probability))
        write_bytes(out / "confidence" / f"{name}.png", png(grey(sure)))
        write_bytes(out / "index" / f"{name}.png", png(label.hard.cpu().numpy()))
        if watch is not None:
            watch(name)
    if all((out / "index" / f"{name}.png").is_file() for name in pictures):
        found = statistics(out, list(pictures), eye.classes)
        write_text(out / "statistics.json", json.dumps(found, indent=1) + "\n")
    return len(waiting)


def describe(out: Path, classes: ClassList, made: Mapping[str, Any] | None = None) -> None:
    """Write ``classes.json`` and ``made.json``, or see that they say the same: labels of two kinds are never mixed.

    Args:
        out: The folder of labels.
        classes: Its classes.
        made: What decides what the labels are, as plain values; None if nobody else can write there.

    Raises:
        ValueError: If they say something else.
    """
    path = out / "classes.json"
    content = {
        "classes": list(classes.names),
        "colours": [list(c) for c in classes.colours],
        "ignore": IGNORE,
    }
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")).get("classes") != list(classes.names):
        raise ValueError(f"{out} holds labels of other classes: choose another --out")
    if made is not None:
        _same_making(out, made)
        write_text(out / "made.json", json.dumps(made, indent=1) + "\n")
    write_text(path, json.dumps(content, indent=1) + "\n")


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


def statistics(out: Path, names: Sequence[str], classes: ClassList) -> dict[str, Any]:
    """What a folder of labels holds: pixels of each class, and how certain its model was of them.

    Args:
        out: The folder of labels.
        names: Of its pictures.
        classes: Its classes.

    Returns:
        By class the labelled pixels, and the mean confidence, None for a class without any; pixels without a label.
    """
    pixels = np.zeros(256, dtype=np.int64)
    certainty = np.zeros(256)
    for name in names:
        label = read_label(out / "index" / f"{name}.png")
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
    eye: Eye,
    pictures: Mapping[str, Handle],
    *,
    read: Callable[[Handle], UInt8[Tensor, "3 h w"]],
    every: int = 4,
    watch: Callable[[object], None] | None = None,
) -> tuple[list[Float[Tensor, " _"]], Int64[Tensor, " k"]]:
    """What is predicted, over all pictures: how confidently, and how often.

    Source: CBST and CRST, whose code takes every fourth pixel of a class, row by row, for the confidence.

    Args:
        eye: Who looks.
        pictures: Files, or numbers, by name.
        read: Opens one.
        every: Pixels from one that counts to the next.
        watch: Called after every picture.

    Returns:
        By class the confidence of every so manieth pixel that is predicted as it, and the number of all these pixels.
    """
    found: list[list[Tensor]] = [[] for _ in eye.classes.names]
    pixels = torch.zeros(len(found), dtype=torch.int64)
    for name, image in read_ahead(lambda name: read(pictures[name]), pictures):
        sure, label = (part.flatten().cpu() for part in eye(image).max(0))
        pixels += torch.bincount(label, minlength=len(found))
        for place, values in enumerate(found):
            values.append(sure[label == place][::every])
        if watch is not None:
            watch(name)
    return [torch.cat(values) if values else torch.zeros(0) for values in found], pixels


def packed(probability: Float[Tensor, "k h w"], *, shrink: int = SOFT_SHRINK) -> bytes:
    """Probabilities as compressed bytes, the sides divided by ``shrink``."""
    height, width = probability.shape[-2:]
    size = (max(1, height // shrink), max(1, width // shrink))
    small = F.interpolate(probability[None].float(), size, mode="area")[0]
    content = io.BytesIO()
    np.savez_compressed(
        content,
        probability=small.mul(255).round().to("cpu", torch.uint8).numpy(),
        size=np.array([height, width]),
    )
    return content.getvalue()


def unpacked(path: Path) -> Float[Tensor, "k h w"]:
    """What :func:`packed` wrote, at the picture's size again.

    Raises:
        ValueError: If the file is damaged.
    """
    small, size = _stored(path)
    return F.interpolate(small[None].float() / 255, size, mode="bilinear", align_corners=False)[0]


@dataclass(frozen=True)
class SoftLabels:
    """The soft labels of a folder: probabilities as bytes, 255 for 1."""

    folder: Path

    def __call__(self, picture: str) -> UInt8[Tensor, "h w k"]:
        """Those of a picture.

        Raises:
            ValueError: If the file is missing, damaged or not in full size.
        """
        path = self.folder / "soft" / f"{picture}.npz"
        stored, size = _stored(path)
        if stored.shape[1:] != size:
            raise ValueError(
                f"{path}: probabilities of a smaller size, not soft labels; set method.soft=false"
            )
        return stored.permute(1, 2, 0)


def open_soft_labels(folder: Path, classes: ClassList) -> SoftLabels:
    """The soft labels of a folder.

    Raises:
        FileNotFoundError: If there are none.
        ValueError: If their classes are others, or in another order.
    """
    if not (folder / "soft").is_dir():
        raise FileNotFoundError(f"{folder}: no soft labels in it (soft/NAME.npz); set method.soft=false")
    own = json.loads((folder / "classes.json").read_text(encoding="utf-8")).get("classes")
    if own != list(classes.names):
        raise ValueError(f"{folder}: soft labels of other classes than the pair's, which have to be the same")
    return SoftLabels(folder)


def _stored(path: Path) -> tuple[UInt8[Tensor, "k rows columns"], tuple[int, int]]:
    """Bytes as they were stored, and the size of the picture."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as content:
            height, width = content["size"].tolist()
            return torch.from_numpy(content["probability"]), (height, width)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: not stored probabilities ({error}); label that picture again") from error


def png(picture: np.ndarray) -> bytes:
    """A grey picture as a PNG; level 1, as higher ones take several times as long for hardly smaller files."""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG", compress_level=1)
    return content.getvalue()
