"""Predictions for a folder of pictures: class ids, colours, an overlay and the confidence of each."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from segue.classes import ClassList
from segue.evaluate.predict import Predictor, normalised
from segue.evaluate.read_ahead import read_ahead
from segue.files import write_bytes, write_text
from segue.ops.draw import colourise, grey, overlay
from segue.types import IGNORE

KINDS = ("index", "colour", "overlay", "confidence")
"""The folders that are written, each with one PNG for a picture."""


@dataclass(frozen=True)
class Outcome:
    """What became of a folder of pictures.

    Attributes:
        predicted: How many pictures were predicted and written.
        failed: What was wrong with the others, by name.
    """

    predicted: int
    failed: dict[str, str]


def predict_folder(
    predictor: Predictor,
    pictures: Mapping[str, Path],
    *,
    read: Callable[[Path], UInt8[Tensor, "3 h w"]],
    out: Path,
    classes: ClassList,
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device,
    progress: Callable[[str], None] | None = None,
) -> Outcome:
    """Predict pictures of any sizes and write what was found, at the size of each.

    For a picture called NAME, ``index/NAME.png`` holds training ids, ``colour/NAME.png`` their colours,
    ``overlay/NAME.png`` the colours over the picture, and ``confidence/NAME.png`` the probability of the
    predicted class (255 is 1). ``classes.json`` names the ids. A picture's files are written once all of them
    are ready; one that cannot be read or predicted is reported, and earlier predictions of it stay.

    Args:
        predictor: Probabilities of these classes.
        pictures: Files by name; slashes in a name become folders.
        read: Opens a file as an upright RGB picture.
        out: Where to write.
        classes: The classes in training order.
        mean: Grey levels that normalisation subtracts from red, green and blue.
        std: Grey levels that normalisation divides by.
        device: Where to predict.
        progress: Called with the name of every picture that is done with, successfully or not.

    Returns:
        How many were predicted, and what was wrong with the others.

    Raises:
        ValueError: If there are no pictures, or the predictor has another number of classes.
    """
    if not pictures:
        raise ValueError("there are no pictures to predict")
    described = {"classes": classes.names, "colours": classes.colours, "ignore": IGNORE}
    write_text(out / "classes.json", json.dumps(described, indent=1) + "\n")
    failed: dict[str, str] = {}
    for name, image in read_ahead(lambda name: _tried(read, pictures[name]), pictures):
        found = (
            image
            if isinstance(image, str)
            else _predicted(predictor, image, mean=mean, std=std, device=device)
        )
        if isinstance(found, str):
            failed[name] = found
        elif isinstance(image, Tensor):
            if found.shape[0] != len(classes):
                raise ValueError(
                    f"the model tells {found.shape[0]} classes apart, its card names {len(classes)}"
                )
            _write(out, name, image=image, probability=found, classes=classes)
        if progress is not None:
            progress(name)
    return Outcome(len(pictures) - len(failed), failed)


def _tried(read: Callable[[Path], Tensor], path: Path) -> Tensor | str:
    """The picture, or what is wrong with it: one bad file must not cost the others."""
    try:
        return read(path)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        return reason if str(path) in reason else f"{path}: {reason}"


def _predicted(
    predictor: Predictor, image: Tensor, *, mean: Sequence[float], std: Sequence[float], device: torch.device
) -> Tensor | str:
    try:
        return predictor(normalised(image[None], mean=mean, std=std, device=device))[0]
    except torch.OutOfMemoryError:
        height, width = image.shape[-2:]
        return f"{width}x{height} pixels are too many for the device; try --mode sliding or --device cpu"


def _write(out: Path, name: str, *, image: Tensor, probability: Tensor, classes: ClassList) -> None:
    highest = probability.max(dim=0)
    ids = highest.indices.to("cpu", torch.uint8)
    colours = colourise(ids, classes.colours)
    drawn = (ids.numpy(), colours, overlay(image.permute(1, 2, 0).numpy(), colours), grey(highest.values))
    encoded = [_png(picture) for picture in drawn]
    for kind, content in zip(KINDS, encoded, strict=True):
        write_bytes(out / kind / f"{name}.png", content)


def _png(picture: np.ndarray) -> bytes:
    content = io.BytesIO()
    # Level 1 takes a fraction of the default's time on photographs, for a file hardly larger.
    Image.fromarray(picture).save(content, "PNG", compress_level=1)
    return content.getvalue()
