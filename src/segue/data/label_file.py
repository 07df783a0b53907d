"""The kinds of label files: grey or palette, in the classes' colours, and SYNTHIA's three 16-bit channels."""

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from segue.classes import Colour
from segue.data.decoding import decode, packing, read_label, require_one_channel, rgb

IGNORE = 255
"""As :data:`segue.types.IGNORE`, which imports torch."""

Channel = TypeVar("Channel", int, np.ndarray)

Shown: TypeAlias = Sequence[tuple[Colour, int]]
"""Colours and the values that they stand for."""

UPPER, LOWER = "RGB;16B", "RGB;16L"
"""How Pillow unpacks three 16-bit channels, keeping one byte of each: PNG's own order gives the upper
bytes; the other order, which takes the same data for little-endian, gives the lower ones."""


@dataclass(frozen=True)
class LabelReader:
    """How one kind of label file is read.

    Attributes:
        read: The numbers stored in a file, one per pixel.
        require: Raises a ValueError for a file that is not of this kind, by its header alone.
    """

    read: Callable[[Path], np.ndarray]
    require: Callable[[Path], object]


def colour_labels(
    colours: Mapping[int, Colour], *, void: Sequence[Colour] = (), ignored: int = IGNORE
) -> LabelReader:
    """A reader of files that show each class in its colour; grey and palette files are read as they are.

    Args:
        void: Colours of what is not labelled.
        ignored: The value that stands for them.
    """
    shown = [*((colour, value) for value, colour in colours.items()), *((colour, ignored) for colour in void)]
    return LabelReader(partial(_read_colours, shown=shown), partial(_require_colours, shown=shown))


def read_deep_label(path: Path) -> np.ndarray:
    """The first channel of a PNG with three channels of 16 bits: (h, w), 0 to 65535.

    Pillow keeps only one byte of each channel, so the file is decoded twice.
    """
    require_deep(path)
    upper, lower = (decode(path, lambda picture, k=kind: _red(picture, k)) for kind in (UPPER, LOWER))
    return upper.astype(np.uint16) << 8 | lower


def require_deep(path: Path) -> None:
    """Refuse a file without three channels of 16 bits, by its header alone.

    Raises:
        ValueError: If it has another number of channels or bits.
    """
    found = decode(path, packing)
    if found != UPPER:
        kind, _, packed = found.partition(";")
        raise ValueError(
            f"{path}: found {kind} with {16 if '16' in packed else 8} bits a channel, but a SYNTHIA label is a PNG"
            " of three 16-bit channels (class, instance, 0); take the files of GT/LABELS as downloaded, neither"
            " GT/COLOR nor a copy saved anew"
        )


def _read_colours(path: Path, *, shown: Shown) -> np.ndarray:
    if not _require_colours(path, shown=shown):
        return read_label(path)
    ordered = sorted(shown)
    values = np.array([value for _, value in ordered])
    codes = np.array([_code(*colour) for colour, _ in ordered])
    pixels = _code(*np.moveaxis(decode(path, rgb).astype(np.int32), -1, 0))
    nearest = np.searchsorted(codes, pixels).clip(max=len(codes) - 1)
    unknown = codes[nearest] != pixels
    if unknown.any():
        code = int(pixels[unknown][0])
        raise ValueError(
            f"{path}: {int(unknown.sum())} pixels have colours of no class, the first"
            f" {(code >> 16, code >> 8 & 255, code & 255)}; add the colour to the class list,"
            " under void if it means not labelled"
        )
    return values[nearest]


def _require_colours(path: Path, *, shown: Shown) -> bool:
    """Whether this is a colour mask; otherwise it has to be a label of one channel."""
    kind, mode = decode(path, lambda picture: (picture.format, picture.mode))
    if kind == "JPEG" or mode not in {"RGB", "RGBA"}:
        require_one_channel(path)
        return False
    colours = [colour for colour, _ in shown]
    shared = sorted({colour for colour in colours if colours.count(colour) > 1})
    if shared:
        raise ValueError(f"{path}: a colour mask, but several classes have the colour {shared[0]}")
    return True


def _code(red: Channel, green: Channel, blue: Channel) -> Channel:
    return red << 16 | green << 8 | blue


def deep_png(channels: NDArray[np.uint16]) -> bytes:
    """The content of a PNG file with three 16-bit channels, (h, w, 3)."""
    height, width, _ = channels.shape
    rows = channels.astype(">u2").reshape(height, -1).view(np.uint8)
    unfiltered = np.pad(rows, ((0, 0), (1, 0)))  # each row begins with the number of its filter: none
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(unfiltered.tobytes())),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def _red(picture: Image.Image, wanted: str) -> NDArray[np.uint8]:
    assert isinstance(picture, ImageFile.ImageFile), "opened from a file"
    picture.tile = [tile._replace(args=wanted) for tile in picture.tile]
    return np.asarray(picture)[..., 0]


GREY_LABELS = LabelReader(read_label, require_one_channel)
"""One class id per pixel in a grey or palette picture."""

DEEP_LABELS = LabelReader(read_deep_label, require_deep)
"""The class id in the first of three 16-bit channels."""
