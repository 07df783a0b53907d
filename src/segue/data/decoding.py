"""Decoding picture files of any common kind with Pillow and without torch; errors name the file and the remedy."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps

from segue.data.tar_member import Member

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
"""The extensions of picture files, in lower case."""

ONE_CHANNEL = frozenset({"L", "P", "1", "LA", "PA", "I", "I;16", "I;16L", "I;16B", "I;16N"})
"""Pillow's modes in which the first channel can be a class id."""

WIDENED = {"L;2": 85, "L;4": 17}
"""The factor by which Pillow multiplies the values of grey PNGs of 2 and 4 bits, to spread them over 0 to 255."""

DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)
"""What Pillow raises, depending on the format, for a file that is damaged or cut off."""

ENDINGS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
"""The last bytes of a file of these formats, which only metadata may follow."""

Decoded = TypeVar("Decoded")


def read_label(path: Path) -> np.ndarray:
    """The whole numbers (h, w) stored in a label file."""
    kind, mode, values = decode(path, lambda picture: (*kind_of(picture), stored(picture)))
    require_one_class_each(path, kind, mode)
    return values


def require_one_channel(path: Path) -> None:
    """Refuse a file that cannot hold one class id per pixel, by its header alone."""
    require_one_class_each(path, *decode(path, kind_of))


def picture_size(path: Path) -> tuple[int, int]:
    """Rows and columns of the upright picture, from the file's header."""
    return decode(path, upright_size)


def size_complaint(image: Path, label: Path, size: tuple[int, int], label_size: tuple[int, int]) -> str:
    """What is said of a label of another size (rows, columns) than its image's."""
    (rows, columns), (label_rows, label_columns) = size, label_size
    return (
        f"{label}: {label_columns}x{label_rows} pixels, but its image {image.name} has {columns}x{rows} (width x"
        " height): make them the same size"
    )


def alike(size: tuple[int, int], own: tuple[int, int]) -> bool:
    """Whether a picture's size and its depth's have the same shape, to a hundredth."""
    return abs(own[0] * size[1] - own[1] * size[0]) <= 0.01 * own[0] * size[1]


def shape_complaint(path: Path, size: tuple[int, int], own: tuple[int, int]) -> str:
    """What is said of a depth file whose size has another shape than its picture's."""
    return (
        f"{path}: {own[1]}x{own[0]} pixels, but its picture has {size[1]}x{size[0]} (width x height): a depth shows the"
        " same as its picture"
    )


def require_whole(path: Path) -> tuple[int, int]:
    """Refuse a file that was cut off; one that ends as its format demands is not decoded.

    Returns:
        Rows and columns, as :func:`picture_size`.
    """
    size, has_ended = decode(path, lambda picture: (upright_size(picture), _has_ended(picture)))
    if not has_ended:
        decode(path, lambda picture: picture.load())
    return size


def require_one_class_each(path: Path, kind: str, mode: str) -> None:
    """As :func:`require_one_channel`, of a file whose format and mode are known."""
    if kind == "JPEG":
        raise ValueError(
            f"{path}: a JPEG cannot hold labels, since compression changes the ids; save them as PNG"
        )
    if mode not in ONE_CHANNEL:
        raise ValueError(
            f"{path}: a label of mode {mode}, but a label holds one class id per pixel; for colour masks, list the"
            " classes' colours in the class list file (key 'colours'), or save a grey or palette PNG"
        )


def kind_of(picture: Image.Image) -> tuple[str, str]:
    """Pillow's names of a picture's format and mode."""
    return picture.format or "", picture.mode


def decode(path: Path, take: Callable[[Image.Image], Decoded]) -> Decoded:
    """Open a picture and return what ``take`` makes of it.

    Raises:
        ValueError: If the file is damaged, not a picture, or too large.
    """
    place = path.open() if isinstance(path, Member) else path
    try:
        with Image.open(place) as picture:
            return take(picture)
    except (FileNotFoundError, PermissionError):
        raise
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path}: {error}; cut the picture into tiles") from error
    except DAMAGED as error:
        reason = (
            str(error)
            .replace(str(path), "file")
            .replace(repr(str(path)), "file")
            .replace(repr(place), "file")
        )
        raise ValueError(
            f"{path}: not readable as a picture ({reason}); it is damaged or cut off: replace or remove it"
        ) from error


def bytes_complaint(origin: Path | str, kind: object) -> str:
    """What is said of a picture whose values are of another kind than bytes."""
    return f"{origin}: its values are {kind}, not bytes from 0 to 255; save it with 8 bits per channel"


def packing(picture: Image.Image) -> str:
    """How the channels of a picture from a file lie in it, by Pillow's name, as ``RGB;16B``; else its mode."""
    tiles = picture.tile if isinstance(picture, ImageFile.ImageFile) else []
    packed = tiles[0].args if tiles else None
    return packed if isinstance(packed, str) else picture.mode


def rgb(picture: Image.Image) -> np.ndarray:
    """The pixels (h, w, 3) of an upright picture; fractions (h, w) if its values are some."""
    ImageOps.exif_transpose(picture, in_place=True)
    if picture.mode.startswith("I"):
        grey = (np.asarray(picture) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if picture.mode == "F":
        return np.asarray(picture)
    if "transparency" in picture.info and picture.mode != "RGB":
        picture = picture.convert("RGBA")
    return np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))


def stored(picture: Image.Image) -> np.ndarray:
    """The whole numbers (h, w) of an upright label."""
    packed = packing(picture)
    ImageOps.exif_transpose(picture, in_place=True)
    values = np.array(picture)
    if values.ndim == 3:
        values = values[..., 0]
    if values.dtype == np.bool_:
        values = values.astype(np.uint8)
    return values // WIDENED[packed] if packed in WIDENED else values


def _has_ended(picture: Image.Image) -> bool:
    """Whether the file of a picture ends as its format demands; afterwards it cannot be decoded any more."""
    ending = ENDINGS.get(picture.format or "")
    if ending is None or not isinstance(picture, ImageFile.ImageFile) or picture.fp is None:
        return False
    length = picture.fp.seek(0, os.SEEK_END)
    picture.fp.seek(max(0, length - 1024))
    return ending in picture.fp.read()


def upright_size(picture: Image.Image) -> tuple[int, int]:
    """Rows and columns that an opened picture has once it is upright."""
    columns, rows = picture.size
    # A PNG may keep its orientation after the pixels; asking for it would decode them.
    known = picture.format != "PNG" or "exif" in picture.info
    turned = known and picture.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    return (columns, rows) if turned else (rows, columns)
