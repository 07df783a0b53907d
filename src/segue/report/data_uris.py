"""Pictures as data URIs, no larger than shown: photographs as JPEG, labels as PNG with exact colours."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from segue.classes import Colour

WIDTH = 512
"""The greatest width of an evaluated picture, in pixels."""

SHEET_WIDTH = 1280
"""The greatest width of a sheet of what the student saw, in pixels."""


@dataclass(frozen=True)
class EmbeddedPicture:
    """A picture within the page; its size is in pixels."""

    uri: str
    width: int
    height: int


def embed_photograph(given: Path | np.ndarray | None, *, width: int = WIDTH) -> EmbeddedPicture | None:
    """A photograph from a file or from RGB bytes (H,W,3), scaled smoothly; None if it cannot be read."""
    image = _opened(given)
    if image is None:
        return None
    image = _at_most(image.convert("RGB"), width, Image.Resampling.LANCZOS)
    return _encoded(image, "jpeg", quality=86, optimize=True)


def embed_labels(
    given: Path | np.ndarray | None, palette: list[Colour], *, width: int = WIDTH
) -> EmbeddedPicture | None:
    """Labels in the classes' colours, scaled without mixing them; None if the file cannot be read.

    Args:
        given: A PNG or bytes (H,W,3) in the classes' colours, or of class ids, for which alone the palette is needed.
        width: At most, in pixels.
    """
    image = _opened(given)
    if image is None:
        return None
    if image.mode == "L" and palette:
        image.putpalette([part for colour in palette for part in colour])
    image = _at_most(image.convert("RGB"), width, Image.Resampling.NEAREST)
    return _encoded(_with_palette(image), "png", optimize=True)


def embed_sheet(path: Path | None) -> EmbeddedPicture | None:
    """Photographs and labels on one sheet, as JPEG or PNG, whichever is smaller; None if unreadable."""
    image = _opened(path)
    if image is None:
        return None
    image = _at_most(image.convert("RGB"), SHEET_WIDTH, Image.Resampling.LANCZOS)
    exact, compact = _encoded(image, "png", optimize=True), _encoded(image, "jpeg", quality=88, optimize=True)
    return min(exact, compact, key=lambda picture: len(picture.uri))


def _opened(given: Path | np.ndarray | None) -> Image.Image | None:
    if given is None or isinstance(given, np.ndarray):
        return None if given is None else Image.fromarray(given)
    try:
        with Image.open(given) as image:
            image.load()
            return image
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError):
        return None


def _at_most(image: Image.Image, width: int, resampling: Image.Resampling) -> Image.Image:
    if image.width <= width:
        return image
    return image.resize((width, max(1, round(image.height * width / image.width))), resampling)


def _with_palette(image: Image.Image) -> Image.Image:
    """One byte per pixel if there are at most 256 colours, as in labels."""
    numbers = np.asarray(image).astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    colours, index = np.unique(numbers, return_inverse=True)
    if len(colours) > 256:
        return image
    small = Image.fromarray(index.reshape(image.height, image.width).astype(np.uint8))
    small.putpalette([part for colour in colours.tolist() for part in colour.to_bytes(3, "big")])
    return small


def _encoded(image: Image.Image, kind: str, **options: int | bool) -> EmbeddedPicture:
    written = io.BytesIO()
    image.save(written, format=kind, **options)
    text = base64.b64encode(written.getvalue()).decode("ascii")
    return EmbeddedPicture(f"data:image/{kind};base64,{text}", image.width, image.height)
