"""Predictions as files: PNGs of classes, colours, overlays and confidence, or a table, are written here alone."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from segue.classes import ClassList
from segue.data.picture import read_image
from segue.evaluation.model import Model, Prediction
from segue.evaluation.read_ahead import read_ahead
from segue.files import write_bytes, write_text
from segue.ops.draw import grey
from segue.types import IGNORE

KINDS = ("index", "colour", "overlay", "confidence")
"""The folders that :func:`write_predictions` fills, each with one PNG for a picture."""

TABLE = "predictions.csv"
"""The file that it writes where each picture has one class."""


@dataclass(frozen=True)
class Written:
    """What predicting some pictures has written.

    Attributes:
        predicted: The number of pictures predicted and written.
        failed: What was wrong with the others, by name.
        files: The folders or the file that hold the predictions.
    """

    predicted: int
    failed: dict[str, str]
    files: tuple[str, ...] = KINDS


def write_predictions(
    model: Model,
    pictures: Mapping[str, Path],
    out: Path,
    *,
    progress: Callable[[str], None] | None = None,
) -> Written:
    """Predict pictures of any sizes and write the predictions, each at its picture's size.

    For a picture called NAME, ``index/NAME.png`` holds training ids, ``colour/NAME.png`` their colours,
    ``overlay/NAME.png`` the colours over the picture, and ``confidence/NAME.png`` the probability of the
    predicted class (255 is 1). ``classes.json`` names the ids. A picture's files are written once all of them
    are ready; if it cannot be read or predicted, this is reported, and earlier predictions of it stay.

    A model that gives each picture one class writes ``predictions.csv`` in the place of PNGs, once all are
    predicted: picture, class and its probability.

    Args:
        pictures: By name; slashes in a name become folders.
        progress: Called with each picture's name once it is predicted or has failed.

    Raises:
        ValueError: If there are no pictures, the folder holds labels for training, or the model predicts another
            number of classes than it names.
    """
    if not pictures:
        raise ValueError("there are no pictures to predict")
    if (out / "made.json").is_file():
        raise ValueError(
            f"{out}: it holds labels that `segue label` made; predictions need a folder of their own"
        )
    write_class_list(out, model.classes)
    failed: dict[str, str] = {}
    table: list[tuple[str, str, str]] = [("picture", "class", "confidence")]
    for name, image in read_ahead(lambda name: _read(pictures[name]), pictures):
        prediction = image if isinstance(image, str) else _predicted(model, image)
        if isinstance(prediction, str):
            failed[name] = prediction
        elif model.names_pictures:
            sure = f"{prediction.confidence[0, 0]:.4f}"
            table.append((name, model.classes.names[prediction.index[0, 0]], sure))
        else:
            drawn = (prediction.index, prediction.colours, prediction.overlay)
            sure = grey(torch.from_numpy(prediction.confidence))
            write_pictures(out, name, dict(zip(KINDS, (*drawn, sure), strict=True)))
        if progress is not None:
            progress(name)
    if model.names_pictures:
        lines = io.StringIO(newline="")
        csv.writer(lines, lineterminator="\n").writerows(table)
        write_text(out / TABLE, lines.getvalue())
    files = (TABLE,) if model.names_pictures else KINDS
    return Written(len(pictures) - len(failed), failed, files)


def write_pictures(out: Path, name: str, pictures: Mapping[str, np.ndarray]) -> None:
    """Write OUT/KIND/NAME.png for every kind, in the given order, once all of them are encoded.

    Raises:
        OSError: If a file cannot be written; those before it stay.
    """
    for kind, content in {kind: png(picture) for kind, picture in pictures.items()}.items():
        write_bytes(out / kind / f"{name}.png", content)


def index_file(out: Path, name: str) -> Path:
    """The PNG of a picture's class ids."""
    return out / "index" / f"{name}.png"


def write_class_list(out: Path, classes: ClassList) -> None:
    """Write ``classes.json``, which says what the numbers in ``index`` mean."""
    described = {"classes": classes.names, "colours": classes.colours, "ignore": IGNORE}
    write_text(out / "classes.json", json.dumps(described, indent=1) + "\n")


def png(picture: np.ndarray | Image.Image, *, level: int = 1) -> bytes:
    """A picture of bytes, grey or RGB, as a PNG."""
    # Level 1 takes a fraction of the time of Pillow's default, 6, and files are hardly larger.
    content = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(content, "PNG", compress_level=level)
    return content.getvalue()


def _read(path: Path) -> Tensor | str:
    """The picture, or what is wrong with it, so that one bad file does not cost the others."""
    try:
        return read_image(path)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        return reason if str(path) in reason else f"{path}: {reason}"


def _predicted(model: Model, image: Tensor) -> Prediction | str:
    try:
        return model.predict(image)
    except torch.OutOfMemoryError:
        height, width = image.shape[-2:]
        return f"{width}x{height} pixels are too many for the device; try --mode sliding or --device cpu"
