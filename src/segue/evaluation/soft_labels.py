"""Files of the probabilities of all classes: shrunk ones for fusing, full-size ones to be learnt as soft labels."""

import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from segue.classes import ClassList

SOFT_SHRINK = 4
"""Downscaling factor of stored probabilities."""


def packed(probability: Float[Tensor, "k h w"], *, shrink: int = SOFT_SHRINK) -> bytes:
    """Probabilities as compressed bytes, with sides divided by ``shrink``."""
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
    """What :func:`packed` made, back at the picture's size; a ValueError if the file is damaged."""
    small, size = _stored(path)
    return F.interpolate(small[None].float() / 255, size, mode="bilinear", align_corners=False)[0]


@dataclass(frozen=True)
class SoftLabels:
    """The soft labels of a folder: probabilities as bytes, 255 for 1."""

    folder: Path

    def __call__(self, picture: str) -> UInt8[Tensor, "h w k"]:
        """A picture's soft label; a ValueError if its file is missing, damaged or not at full size."""
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
        ValueError: If they have other classes, or the same in another order.
    """
    if not (folder / "soft").is_dir():
        raise FileNotFoundError(f"{folder}: no soft labels in it (soft/NAME.npz); set method.soft=false")
    own = json.loads((folder / "classes.json").read_text(encoding="utf-8")).get("classes")
    if own != list(classes.names):
        raise ValueError(f"{folder}: soft labels of other classes than the pair's, which have to be the same")
    return SoftLabels(folder)


def _stored(path: Path) -> tuple[UInt8[Tensor, "k rows columns"], tuple[int, int]]:
    """The probabilities as they were stored, and the picture's height and width."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as content:
            height, width = content["size"].tolist()
            return torch.from_numpy(content["probability"]), (height, width)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: not stored probabilities ({error}); label that picture again") from error
