"""Pictures for people: classes as colours, confidence as a map, and everything a view knows side by side."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Integer, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from segue.classes import Colour
from segue.types import IGNORE, View

Picture: TypeAlias = UInt8[np.ndarray, "h w 3"]
"""RGB, 0 to 255, as PIL and every viewer take it."""

HEAT = ((13, 8, 60), (120, 28, 109), (220, 80, 60), (250, 170, 60), (252, 250, 190))
"""Colours from 0 to 1, dark to bright, so that the map can also be read without colour."""

MOST_ROWS = 4
"""At most this many pictures of a batch are drawn, so that sheets stay small."""


def colourise(ids: Integer[Tensor, "h w"], palette: Sequence[Colour]) -> Picture:
    """Class ids as their colours; IGNORE, and ids beyond the palette, are black."""
    table = np.zeros((256, 3), dtype=np.uint8)
    table[: len(palette)] = palette
    table[IGNORE] = 0
    return table[ids.to("cpu", torch.uint8).numpy()]


def overlay(picture: Picture, colours: Picture, *, opacity: float = 0.5) -> Picture:
    """Colours laid over a picture; ``opacity`` is the colours' share, in [0, 1]."""
    mixed = picture * (1.0 - opacity) + colours * opacity
    return np.rint(mixed).astype(np.uint8)


def grey(values: Float[Tensor, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """A map in [0, 1] as grey levels, 255 for 1; values outside are clipped."""
    return values.float().clamp(0.0, 1.0).mul(255.0).round().to("cpu", torch.uint8).numpy()


def heat(values: Float[Tensor, "h w"]) -> Picture:
    """A map in [0, 1] as colours from dark (0) to bright (1); values outside are clipped."""
    positions = np.linspace(0, 255, len(HEAT))
    levels = np.arange(256)
    table = np.stack([np.interp(levels, positions, channel) for channel in zip(*HEAT, strict=True)], axis=1)
    return np.rint(table).astype(np.uint8)[grey(values)]


def pictures_of(
    image: Float[Tensor, "b 3 h w"], mean: Sequence[float], std: Sequence[float]
) -> UInt8[np.ndarray, "b h w 3"]:
    """Normalised images as pictures again; mean and std are in grey levels, one per channel."""
    level = (
        image.detach().float().cpu() * torch.tensor(std)[:, None, None] + torch.tensor(mean)[:, None, None]
    )
    return level.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()


def spread(values: Tensor, size: Sequence[int]) -> Tensor:
    """Maps of a single cell, of pictures that have one class, at a picture's size; others as they are."""
    return values.expand(*values.shape[:-2], *size) if values.shape[-2:] == (1, 1) else values


def tiled(
    rows: Sequence[Sequence[Picture]], captions: Sequence[str] = ()
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Pictures of one size in rows and columns, two pixels apart on white, with a caption above each column."""
    height, width = rows[0][0].shape[:2]
    gap, head = 2, 14 if captions else 0
    size = (len(rows[0]) * (width + gap) - gap, head + len(rows) * (height + gap) - gap)
    sheet = Image.new("RGB", size, "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            sheet.paste(Image.fromarray(picture), (x * (width + gap), head + y * (height + gap)))
    pen = ImageDraw.Draw(sheet)
    for x, caption in enumerate(captions):
        pen.text((x * (width + gap) + 2, 1), caption, fill="black")
    return np.asarray(sheet)


def draw_view(
    view: View,
    prediction: Integer[Tensor, "b h w"],
    *,
    palette: Sequence[Colour],
    mean: Sequence[float],
    std: Sequence[float],
) -> UInt8[np.ndarray, "rows columns 3"]:
    """A view as one sheet: image, label, weight and prediction side by side, a row for each of its first four images.

    Args:
        view: A label or weight that it lacks gets no column.
        prediction: The student's classes at the image's size.
        mean: Grey levels subtracted in normalisation.
        std: Grey levels divided by in normalisation.
    """
    count = min(len(view.image), MOST_ROWS)
    size = view.image.shape[-2:]
    columns = {view.name: list(pictures_of(view.image[:count], mean, std))}
    if view.label is not None:
        columns["label"] = [colourise(label, palette) for label in spread(view.label[:count], size)]
    if view.weight is not None:
        columns["weight"] = [heat(weight) for weight in spread(view.weight[:count].float(), size)]
    columns["prediction"] = [colourise(ids, palette) for ids in prediction[:count]]
    return tiled(list(zip(*columns.values(), strict=True)), list(columns))
