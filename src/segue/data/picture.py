"""Reading picture files of any common kind, with one-line errors that name the file and the remedy."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageFile, ImageOps
from torch import Tensor

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


def read_image(path: Path) -> UInt8[Tensor, "3 h w"]:
    """A picture as RGB, 0 to 255, upright, channels last in memory.

    Grey becomes three equal channels, transparency is dropped, of 16 bits the upper 8 are kept.

    Raises:
        ValueError: If its values are fractions; or, from Pillow, if it is damaged.
    """
    return _tensor(decode(path, _rgb), path)


def as_image(picture: Path | str | Image.Image | np.ndarray) -> UInt8[Tensor, "3 h w"]:
    """A picture in any form as :func:`read_image` gives it: a file, Pillow's, or bytes (H,W,3) or (H,W).

    Raises:
        ValueError: If an array is of another shape or of other values than bytes.
    """
    if isinstance(picture, Path | str):
        return read_image(Path(picture))
    if isinstance(picture, Image.Image):
        return _tensor(_rgb(picture.copy()), "the picture")
    pixels = np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(
            f"a picture of shape {picture.shape}: give (height, width, 3) in RGB, or (height, width)"
        )
    return _tensor(np.array(pixels), "the picture")


def _tensor(pixels: np.ndarray, origin: Path | str) -> UInt8[Tensor, "3 h w"]:
    if pixels.dtype != np.uint8:
        raise ValueError(
            f"{origin}: its values are {pixels.dtype}, not bytes from 0 to 255; save it with 8 bits per channel"
        )
    return torch.from_numpy(pixels).permute(2, 0, 1)


def read_label(path: Path) -> np.ndarray:
    """The whole numbers (h, w) stored in a label file."""
    kind, mode, values = decode(path, lambda picture: (*_kind(picture), _stored(picture)))
    _require_one_channel(path, kind, mode)
    return values


def require_one_channel(path: Path) -> None:
    """Refuse a file that cannot hold one class id per pixel, by its header alone."""
    _require_one_channel(path, *decode(path, _kind))


def picture_size(path: Path) -> tuple[int, int]:
    """Rows and columns of the upright picture, from the file's header."""
    return decode(path, _size)


def require_whole(path: Path) -> None:
    """Refuse a file that was cut off; one that ends as its format demands is not decoded."""
    ending = ENDINGS.get(decode(path, _kind)[0])
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1024))
        if ending is not None and ending in file.read():
            return
    decode(path, lambda picture: picture.load())


def _require_one_channel(path: Path, kind: str, mode: str) -> None:
    if kind == "JPEG":
        raise ValueError(
            f"{path}: a JPEG cannot hold labels, since compression changes the ids; save them as PNG"
        )
    if mode not in ONE_CHANNEL:
        raise ValueError(
            f"{path}: a label of mode {mode}, but a label holds one class id per pixel; for colour masks, list the"
            " classes' colours in the class list file (key 'colours'), or save a grey or palette PNG"
        )


def _kind(picture: Image.Image) -> tuple[str, str]:
    return picture.format or "", picture.mode


def decode(path: Path, take: Callable[[Image.Image], Decoded]) -> Decoded:
    """Open a picture and return what ``take`` makes of it.

    Raises:
        ValueError: If the file is damaged, not a picture, or too large.
    """
    try:
        with Image.open(path) as picture:
            return take(picture)
    except (FileNotFoundError, PermissionError):
        raise
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path}: {error}; cut the picture into tiles") from error
    except DAMAGED as error:
        reason = str(error).replace(str(path), "file").replace(repr(str(path)), "file")
        raise ValueError(
            f"{path}: not readable as a picture ({reason}); it is damaged or cut off: replace or remove it"
        ) from error


def _rgb(picture: Image.Image) -> np.ndarray:
    ImageOps.exif_transpose(picture, in_place=True)
    if picture.mode.startswith("I"):
        grey = (np.asarray(picture) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if picture.mode == "F":
        return np.asarray(picture)
    if "transparency" in picture.info and picture.mode != "RGB":
        picture = picture.convert("RGBA")
    return np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _stored(picture: Image.Image) -> np.ndarray:
    tiles = picture.tile if isinstance(picture, ImageFile.ImageFile) else []
    packing = str(tiles[0].args) if tiles else ""
    ImageOps.exif_transpose(picture, in_place=True)
    values = np.array(picture)
    if values.ndim == 3:
        values = values[..., 0]
    if values.dtype == np.bool_:
        values = values.astype(np.uint8)
    return values // WIDENED[packing] if packing in WIDENED else values


def _size(picture: Image.Image) -> tuple[int, int]:
    columns, rows = picture.size
    # A PNG may keep its orientation after the pixels; asking for it would decode them.
    known = picture.format != "PNG" or "exif" in picture.info
    turned = known and picture.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    return (columns, rows) if turned else (rows, columns)
