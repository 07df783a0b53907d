"""Pictures as data URIs: photographs as JPEG, class maps as PNG with exact colours, none wider than shown."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

WIDTH = 512
"""Evaluation pictures are shown at most this wide, in pixels."""

SHEET_WIDTH = 1280
"""Sheets of what the student saw are shown at most this wide, in pixels."""


@dataclass(frozen=True)
class Picture:
    """A picture that needs no file any more; its size is in pixels."""

    uri: str
    width: int
    height: int


def photograph(given: Path | np.ndarray | None, *, width: int = WIDTH) -> Picture | None:
    """A photograph, scaled down smoothly; None if there is no readable picture.

    Args:
        given: A file, or RGB bytes (H,W,3).
        width: The greatest width, in pixels.
    """
    image = Image.fromarray(given) if isinstance(given, np.ndarray) else _opened(given)
    if image is None:
        return None
    image = _at_most(image.convert("RGB"), width, Image.Resampling.LANCZOS)
    return _encoded(image, "jpeg", quality=86, optimize=True)


def class_map(
    path: Path | None, palette: list[tuple[int, int, int]], *, width: int = WIDTH
) -> Picture | None:
    """A coloured class map, scaled down without mixing colours; grey ids get the palette's colours.

    Args:
        path: A PNG in the classes' colours, or of class ids.
        palette: The classes' colours in order; only used for ids.
        width: The greatest width, in pixels.

    Returns:
        The picture; None if there is no readable one.
    """
    image = _opened(path)
    if image is None:
        return None
    if image.mode == "L" and palette:
        image.putpalette([part for colour in palette for part in colour])
    image = _at_most(image.convert("RGB"), width, Image.Resampling.NEAREST)
    return _encoded(_with_palette(image), "png", optimize=True)


def sheet(path: Path | None, *, width: int = SHEET_WIDTH) -> Picture | None:
    """Photographs and class maps in one drawing, as JPEG or PNG, whichever is smaller; None if unreadable."""
    image = _opened(path)
    if image is None:
        return None
    image = _at_most(image.convert("RGB"), width, Image.Resampling.LANCZOS)
    exact, compact = _encoded(image, "png", optimize=True), _encoded(image, "jpeg", quality=88, optimize=True)
    return min(exact, compact, key=lambda picture: len(picture.uri))


def _opened(path: Path | None) -> Image.Image | None:
    if path is None:
        return None
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError):
        return None


def _at_most(image: Image.Image, width: int, resampling: Image.Resampling) -> Image.Image:
    if image.width <= width:
        return image
    return image.resize((width, max(1, round(image.height * width / image.width))), resampling)


def _with_palette(image: Image.Image) -> Image.Image:
    """One byte a pixel if there are at most 256 colours, which class maps have."""
    numbers = np.asarray(image).astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    colours, index = np.unique(numbers, return_inverse=True)
    if len(colours) > 256:
        return image
    small = Image.fromarray(index.reshape(image.height, image.width).astype(np.uint8))
    small.putpalette([part for colour in colours.tolist() for part in colour.to_bytes(3, "big")])
    return small


def _encoded(image: Image.Image, kind: str, **options: int | bool) -> Picture:
    written = io.BytesIO()
    image.save(written, format=kind, **options)
    text = base64.b64encode(written.getvalue()).decode("ascii")
    return Picture(f"data:image/{kind};base64,{text}", image.width, image.height)
