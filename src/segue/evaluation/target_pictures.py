"""Target pictures in a run folder with what the network says of them before training and now; no label is needed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from segue.classes import ClassList
from segue.evaluation.evidence import PICTURES
from segue.evaluation.kept_pictures import size_within
from segue.evaluation.prediction_files import png
from segue.files import write_bytes, write_text


class TargetPictures:
    """Writes ``pictures/target``: each picture, its classes before training and now, and an index of what changed.

    Args:
        is_start: Whether what is added is what training starts from.
    """

    def __init__(self, run: Path, classes: ClassList, *, is_start: bool) -> None:
        self._folder = run / PICTURES
        self._classes = classes
        self._kind = "before" if is_start else "after"
        self._index: list[dict[str, Any]] = []

    def add(self, name: str, image: UInt8[Tensor, "3 h w"], prediction: UInt8[Tensor, "h w"]) -> None:
        """Write one picture; earlier predictions of it before training are kept."""
        place = f"{len(self._index):03d}"
        size = size_within(image.shape[-2], image.shape[-1])
        photograph = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
        ids = Image.fromarray(prediction.numpy()).resize(size, Image.Resampling.NEAREST)
        drawn = ids.copy()
        drawn.putpalette([part for colour in self._classes.colours for part in colour])
        files = {"image": photograph.resize(size, Image.Resampling.BILINEAR), self._kind: drawn}
        for kind, picture in files.items():
            write_bytes(self._folder / place / f"{kind}.png", png(picture, level=6))
        before = self._folder / place / "before.png"
        entry: dict[str, Any] = {"name": name, "image": self._path(place, "image")}
        if before.is_file():
            entry["before"] = self._path(place, "before")
        if self._kind == "after":
            entry["after"] = self._path(place, "after")
        if len(entry) == 4:
            with Image.open(before) as opened:
                entry |= _changes(np.asarray(opened), np.asarray(ids), self._classes)
        self._index.append(entry)

    def write(self) -> None:
        """Write the index of what was added, if anything was."""
        if self._index:
            write_text(self._folder / "index.json", json.dumps(self._index, indent=2) + "\n")

    def _path(self, place: str, kind: str) -> str:
        return (PICTURES / place / f"{kind}.png").as_posix()


def _changes(before: np.ndarray, after: np.ndarray, classes: ClassList) -> dict[str, Any]:
    """The share of pixels that changed class, and the three most frequent changes with theirs."""
    number = len(classes)
    pairs = np.bincount(before.astype(np.int64).ravel() * number + after.ravel(), minlength=number**2)
    pairs = pairs.reshape(number, number) / after.size
    changed = float(pairs.sum() - pairs.trace())
    np.fill_diagonal(pairs, 0.0)
    largest = [divmod(int(place), number) for place in np.argsort(-pairs, axis=None)[:3]]
    moves = [
        [classes.names[a], classes.names[b], round(float(pairs[a, b]), 6)] for a, b in largest if pairs[a, b]
    ]
    return {"changed": round(changed, 6), "moves": moves}
