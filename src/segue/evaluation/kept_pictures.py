"""Pictures of an evaluation for the report: the image, its label and the prediction."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from segue.classes import ClassList
from segue.evaluation.metrics import picture_mean_iou
from segue.evaluation.pictures import evenly
from segue.evaluation.prediction_files import png
from segue.evaluation.scoring import Compared
from segue.files import part_beside, write_bytes, write_text
from segue.ops.draw import Picture, colourise, spread
from segue.ranks import is_first_rank, of_all_ranks

LONGEST = 768
"""The longest side of a kept picture, in pixels: a report holds dozens."""


@dataclass(frozen=True)
class _Kept:
    index: int
    name: str
    mean_iou: float | None
    files: dict[str, bytes]


class PictureKeeper:
    """Keeps ``count`` pictures of an evaluation, evenly spread over the data set; pass it as ``watch``."""

    def __init__(self, run: Path, *, classes: ClassList, count: int) -> None:
        self._run = run
        self._classes = classes
        self._count = count
        self._kept: list[_Kept] = []

    def __call__(self, picture: Compared) -> None:
        """Keep the picture if it is one of the chosen ones."""
        if picture.index not in evenly(picture.total, self._count):
            return
        label, prediction = (
            spread(ids, picture.image.shape[-2:]) for ids in (picture.label, picture.prediction)
        )
        size = size_within(label.shape[-2], label.shape[-1])
        palette = self._classes.colours
        files = {
            "image": _png(picture.image.permute(1, 2, 0).numpy(), size, Image.Resampling.BILINEAR),
            "label": _png(colourise(label, palette), size, Image.Resampling.NEAREST),
            "prediction": _png(colourise(prediction, palette), size, Image.Resampling.NEAREST),
        }
        iou = picture_mean_iou(picture.prediction, label=picture.label, classes=len(self._classes))
        self._kept.append(_Kept(picture.index, picture.name, iou, files))

    def write(self) -> None:
        """Write ``pictures/evaluation``, worst picture first, in place of an earlier one.

        All processes have to call it; the first one writes.
        """
        kept = [picture for part in of_all_ranks(self._kept) for picture in part]
        if not is_first_rank():
            return
        kept.sort(key=lambda picture: (picture.mean_iou is None, picture.mean_iou, picture.index))
        final = self._run / "pictures" / "evaluation"
        beside = part_beside(final)
        index: list[dict[str, object]] = []
        for place, picture in enumerate(kept):
            paths = {kind: f"{place:03d}/{kind}.png" for kind in picture.files}
            for kind, content in picture.files.items():
                write_bytes(beside / paths[kind], content)
            relative = {
                kind: (final / path).relative_to(self._run).as_posix() for kind, path in paths.items()
            }
            index.append({"name": picture.name, **relative, "mean_iou": picture.mean_iou})
        write_text(beside / "index.json", json.dumps(index, indent=2) + "\n")
        shutil.rmtree(final, ignore_errors=True)
        beside.rename(final)


def size_within(height: int, width: int) -> tuple[int, int]:
    """Width and height, in PIL's order, with no side longer than LONGEST."""
    factor = min(1.0, LONGEST / max(height, width))
    return max(1, round(width * factor)), max(1, round(height * factor))


def _png(picture: Picture, size: tuple[int, int], resampling: Image.Resampling) -> bytes:
    return png(Image.fromarray(np.ascontiguousarray(picture)).resize(size, resampling), level=6)
