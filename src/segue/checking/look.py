"""What one file shows when it is decoded once: its kind, its colours or its label values, a fingerprint."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps

from segue.classes import Colour
from segue.data.decoding import WIDENED, decode, packing, require_whole, rgb, stored
from segue.data.depth_file import read_depth
from segue.data.label_file import read_deep_label

Kind: TypeAlias = Literal["picture", "label", "deep label", "depth"]
"""A deep label has three channels of 16 bits."""

SAMPLED = (136, 64)
"""So many columns and rows of pixels tell what a picture shows, whatever its shape."""

PRINT = 16
"""Rows and columns of a fingerprint, one bit each: whether the next column is brighter."""

MOST_COLOURS = 256
"""A label with more colours shows no classes."""

NEAREST = Image.Resampling.NEAREST

MOMENTS = np.stack([np.arange(256.0), np.arange(256.0) ** 2], axis=1)
"""What a histogram is multiplied with for the mean and the mean square."""

TOGETHER = 32
"""Files that a process is given at once."""


@dataclass(frozen=True)
class Task:
    """A file to look at; without ``pixels`` only at its header and at whether it is whole."""

    path: Path
    kind: Kind
    pixels: bool = True


@dataclass(frozen=True)
class Look:
    """What was seen of a file; what was not looked at, or is of another kind of file, is None.

    Attributes:
        problem: Why the file cannot be read, as one line; empty if it can.
        size: Rows and columns of the upright picture.
        orientation: By EXIF; 1 is upright.
        bits: Of one channel.
        length: Of the file, in bytes.
        used_bits: How many bits the highest value of a picture of 16 bits needs.
        mean: Of red, green and blue, from 0 to 255.
        deviation: Over the picture's places, likewise.
        is_blank: Whether it is all of one colour.
        fingerprint: 32 bytes that similar pictures share but for a few bits.
        values: How many pixels have which value.
        colours: How many have which colour, of a label in colours; empty if there are too many.
    """

    problem: str = ""
    format: str = ""
    mode: str = ""
    size: tuple[int, int] = (0, 0)
    orientation: int = 1
    bits: int = 8
    length: int = 0
    used_bits: int | None = None
    mean: tuple[float, ...] | None = None
    deviation: tuple[float, ...] | None = None
    is_blank: bool = False
    fingerprint: bytes | None = None
    values: dict[int, int] | None = None
    colours: dict[Colour, int] | None = None


def look(task: Task) -> Look:
    """Decode a file once and say what it shows; what is wrong with it becomes its ``problem``."""
    try:
        if task.kind == "deep label" and task.pixels:
            return _deep(task.path)
        if task.kind == "depth":
            return Look(size=read_depth(task.path).shape)
        if not task.pixels:
            require_whole(task.path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow mends on its own, training reads alike
            return decode(task.path, lambda picture: _seen(picture, task))
    except (ValueError, OSError) as error:
        return Look(problem=" ".join(str(error).split()))


def look_at(
    tasks: Sequence[Task], *, workers: int, watch: Callable[[object], object] | None = None
) -> list[Look]:
    """Look at many files in several processes, in their order; 0 workers do it in this process.

    Args:
        watch: Called after each file.
    """
    seen: list[Look] = []
    for one in _looks(tasks, min(workers, len(tasks) // TOGETHER)):
        seen.append(one)
        if watch is not None:
            watch(one)
    return seen


def _looks(tasks: Sequence[Task], workers: int) -> Iterator[Look]:
    if workers < 1:
        yield from map(look, tasks)
        return
    # Forking a process that has threads may hang; a server that has none is forked instead.
    method = "forkserver" if "forkserver" in get_all_start_methods() else "spawn"
    context = get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([__name__])
    pool = ProcessPoolExecutor(workers, mp_context=context)
    try:
        yield from pool.map(look, tasks, chunksize=TOGETHER)
    finally:
        pool.shutdown(cancel_futures=True)


def _seen(picture: Image.Image, task: Task) -> Look:
    packed = packing(picture)
    raw = (
        " ".join(str(tile.args) for tile in picture.tile) if isinstance(picture, ImageFile.ImageFile) else ""
    )
    bits = 32 if picture.mode == "F" else 16 if ";16" in raw or picture.mode.startswith("I") else 8
    if task.pixels:
        picture.load()
    known = task.pixels or picture.format != "PNG" or "exif" in picture.info
    orientation = int(picture.getexif().get(ExifTags.Base.Orientation, 1)) if known else 1
    columns, rows = picture.size
    size = (columns, rows) if orientation >= 5 else (rows, columns)
    header = Look(
        format=picture.format or "", mode=picture.mode, size=size, orientation=orientation, bits=bits,
        length=task.path.stat().st_size,
    )  # fmt: skip
    if not task.pixels:
        return header
    return _with_label(header, picture, packed) if task.kind == "label" else _with_colours(header, picture)


def _with_colours(header: Look, picture: Image.Image) -> Look:
    """What a picture shows, measured on some of its pixels, as that costs a twentieth of the decoding."""
    used = None
    if header.bits == 16:
        highest = max(int(end) for end in np.ravel(picture.getextrema())[1::2])
        used = highest.bit_length() + (0 if picture.mode.startswith("I") else 8)
    some = _sampled(picture, header.orientation)
    if some is None:
        return replace(header, used_bits=used)
    shares = np.array(some.histogram(), dtype=np.float64).reshape(3, 256) / (some.width * some.height)
    mean, square = (shares @ MOMENTS).T
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    grey = some.convert("L").resize((PRINT + 1, PRINT), Image.Resampling.BOX)
    levels = np.frombuffer(grey.tobytes(), np.uint8).reshape(PRINT, PRINT + 1)
    return replace(
        header,
        used_bits=used,
        mean=tuple(mean.tolist()),
        deviation=tuple(deviation.tolist()),
        is_blank=bool(deviation.max() < 1),
        fingerprint=np.packbits(levels[:, 1:] > levels[:, :-1]).tobytes(),
    )


def _sampled(picture: Image.Image, orientation: int) -> Image.Image | None:
    """Every n-th pixel of the upright picture, so that SAMPLED are left, in RGB; None if its values are fractions."""
    if picture.mode not in {"RGB", "L"}:
        pixels = rgb(picture)
        return None if pixels.dtype != np.uint8 else Image.fromarray(pixels).resize(SAMPLED, NEAREST)
    some = picture.resize(SAMPLED, NEAREST)
    if orientation != 1:
        some.info = picture.info
        some.getexif()[ExifTags.Base.Orientation] = orientation
        some = ImageOps.exif_transpose(some)
    return some.convert("RGB")


def _with_label(header: Look, picture: Image.Image, packed: str) -> Look:
    """The values or colours of a label; nothing of a JPEG, which keeps neither, and of fractions."""
    if picture.format == "JPEG" or picture.mode == "F":
        return header
    if picture.mode in {"RGB", "RGBA"}:
        found = (picture if picture.mode == "RGB" else picture.convert("RGB")).getcolors(MOST_COLOURS)
        return replace(header, colours={_colour(colour): number for number, colour in found or []})
    if picture.mode in {"L", "P"}:
        step = WIDENED.get(packed, 1)
        counts = enumerate(picture.histogram())
        return replace(header, values={value // step: number for value, number in counts if number})
    return replace(header, values=_counted(stored(picture)))


def _deep(path: Path) -> Look:
    """A deep label is decoded twice, as when it is read for training."""
    values = read_deep_label(path)
    rows, columns = values.shape
    return Look(
        format="PNG",
        mode="RGB;16",
        size=(rows, columns),
        bits=16,
        length=path.stat().st_size,
        values=_counted(values),
    )


def _counted(values: np.ndarray) -> dict[int, int]:
    found, numbers = np.unique(values, return_counts=True)
    return dict(zip(found.tolist(), numbers.tolist(), strict=True))


def _colour(colour: object) -> Colour:
    red, green, blue = colour if isinstance(colour, tuple) else (0, 0, 0)
    return red, green, blue
