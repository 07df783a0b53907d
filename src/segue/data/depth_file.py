"""Depth files: what their values mean, reading and writing them; without torch."""

from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, model_validator

from segue.data.decoding import decode, packing, picture_size, stored
from segue.data.label_file import UPPER, read_deep_label
from segue.files import write_bytes
from segue.settings import Positive, Settings

UNKNOWN = 1.0
"""The nearness of what is unknown, or too far to tell: it is not learnt."""

CENTIMETRES = 0.01
"""The unit of SYNTHIA's files and ours, in metres."""

OFFICIAL: dict[str, tuple[Literal["metric", "disparity"], float]] = {
    "mono": ("disparity", 1 / 256),
    "stereo": ("metric", CENTIMETRES),
    "synthia": ("metric", CENTIMETRES),
}
"""What CorDA reads."""


class DepthSettings(Settings):
    """Where a domain's depth is: 16-bit PNG files with the names of its pictures, and what their values mean."""

    folder: Path  # relative to the domain's root
    suffix: str = ""  # what follows a picture's name in that of its depth: _depth
    # "metric": a value times scale is metres; "disparity": it is large where things are near; "stereo", "synthia":
    # centimetres; "mono": a disparity in 1/256.
    encoding: Literal["metric", "disparity", "mono", "stereo", "synthia"] = "stereo"
    scale: Positive | None = None  # of metric and disparity
    missing: Annotated[int, Field(ge=0, le=65535)] = 0  # the value of pixels whose depth is not known

    @model_validator(mode="after")
    def _has_a_scale(self) -> "DepthSettings":
        if (self.encoding in OFFICIAL) != (self.scale is None):
            wanted = "leave out" if self.scale is not None else "say"
            raise ValueError(f"encoding {self.encoding}: {wanted} scale, what a value is multiplied by")
        return self

    def nearness(self) -> NDArray[np.float32]:
        """What every 16-bit value stands for, at least 1: see :func:`nearness_of`."""
        return _table(*OFFICIAL.get(self.encoding, (self.encoding, self.scale)), self.missing)


@lru_cache(maxsize=4)
def _table(kind: str, scale: float, missing: int) -> NDArray[np.float32]:
    values = np.arange(65536) * scale
    table = nearness_of(values) if kind == "metric" else (values + UNKNOWN).astype(np.float32)
    table[missing] = UNKNOWN
    return table


def nearness_of(metres: NDArray[np.floating]) -> NDArray[np.float32]:
    """The inverse depth that is learnt: 655.36 / (metres + 0.01), from 1 at 655 metres upwards.

    Source: the code of CorDA (Wang et al., ICCV 2021), whose disparities from single pictures are value / 256 + 1.
    """
    return np.maximum(655.36 / (metres + 0.01), UNKNOWN).astype(np.float32)


def in_centimetres(metres: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Depths as files hold them, at most 655.35 m; 0, unknown, where they are not positive."""
    return np.where(metres > 0, np.clip(metres / CENTIMETRES + 0.5, 1, 65535), 0).astype(np.uint16)


def as_disparity(centimetres: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """The same in the encoding "mono"."""
    nearness = np.where(centimetres > 0, nearness_of(centimetres * CENTIMETRES), UNKNOWN)
    return np.clip(256 * (nearness - UNKNOWN), 0, 65535).astype(np.uint16)


def require_depth(path: Path) -> tuple[int, int]:
    """Rows and columns of a depth file; ``ValueError`` if its header says it is none."""
    packed = decode(path, packing)
    if not (packed.startswith("I;16") or packed == UPPER):
        raise ValueError(
            f"{path}: {packed} pixels; depth is a PNG of 16 bits, in one channel or the first of three"
        )
    return picture_size(path)


def read_depth(path: Path) -> NDArray[np.uint16]:
    """The values (h, w) stored in a depth file, of one channel or the first of three.

    Raises:
        ValueError: If it is none.
    """
    require_depth(path)
    if decode(path, packing) == UPPER:
        return read_deep_label(path)
    return decode(path, stored).astype(np.uint16)


def write_depth(path: Path, values: NDArray[np.uint16]) -> None:
    """Write a depth file beside its place and rename it."""
    content = BytesIO()
    Image.fromarray(values).save(content, "PNG")
    write_bytes(path, content.getvalue())
