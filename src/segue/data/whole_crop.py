"""Cutting pictures that have one class each: a random part of a random shape, or the middle."""

import math
from typing import Literal

import torch
from torch import Generator

from segue.data.placement import Axis, Placement
from segue.types import Sample

Cut = Literal["part", "middle"]
"""A random part of the picture, resized, or the middle of it."""

TRIES = 10
"""How many parts may stick out of the picture before the middle is taken: torchvision's number."""


class WholeCrop:
    """Bring a picture to a box, whatever its shape, cut from it, and mirror it at random; its class stays.

    Source: the transforms of SDAT's code (Rangwani et al., ICML 2022), which resizes pictures to 256x256 and takes
    for Office-Home a part of them (Inception's: a share of the area, a ratio of the sides), for VisDA-2017 the middle
    224x224. There a part is resized from the resized picture, here from the picture itself, in one go.

    Args:
        size: Rows and columns of what comes out.
        resize: The box that the picture is brought to before; None for its own size.
        cut: "part" or "middle".
        area: The smallest and the largest share of the picture that a part covers.
        ratio: The smallest and the largest ratio of a part's width to its height.
        flip: The probability of mirroring left to right.
        fill: The colour around pictures that are smaller than ``size``, 0 to 255.

    Raises:
        ValueError: If a number is outside its range.
    """

    def __init__(
        self,
        size: tuple[int, int],
        *,
        resize: tuple[int, int] | None = None,
        cut: Cut = "part",
        area: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        flip: float = 0.5,
        fill: tuple[float, float, float] = (0, 0, 0),
    ) -> None:
        if not (0 < area[0] <= area[1] <= 1 and 0 < ratio[0] <= ratio[1] and 0 <= flip <= 1):
            raise ValueError(
                f"area {area}, ratio {ratio}, flip {flip}: shares of the picture and probabilities lie between 0 and 1,"
                " and the smaller number comes first"
            )
        red, green, blue = (min(255, max(0, int(value + 0.5))) for value in fill)
        self.size = size
        self.resize = resize
        self.cut = cut
        self.area = area
        self.ratio = ratio
        self.flip = flip
        self.fill = (red, green, blue)

    def __call__(self, sample: Sample, generator: Generator, *, wanted: int | None = None) -> Sample:
        """A piece of the picture with its class; all of it counts as valid."""
        height, width = sample.image.shape[1:]
        box = self.resize or (height, width)
        if self.cut == "part":
            top, left, rows, columns = self._part(box, generator)
            down = _stretched(height, box[0], top, rows, self.size[0])
            across = _stretched(width, box[1], left, columns, self.size[1])
        else:
            down, across = (
                Axis(own, side, max(0, round((side - size) / 2)), size)
                for own, side, size in zip((height, width), box, self.size, strict=True)
            )
        place = Placement(down, across, mirrored=_uniform(generator) < self.flip)
        valid = torch.ones(1, 1, dtype=torch.bool)
        return Sample(place.cut_image(sample.image, self.fill), sample.label, valid, sample.name, sample.soft)

    def _part(self, box: tuple[int, int], generator: Generator) -> tuple[int, int, int, int]:
        """Top, left, rows and columns of a part of the box, drawn as torchvision draws it."""
        height, width = box
        for _ in range(TRIES):
            area = height * width * _between(self.area, generator)
            ratio = math.exp(_between((math.log(self.ratio[0]), math.log(self.ratio[1])), generator))
            rows, columns = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
            if 0 < rows <= height and 0 < columns <= width:
                top, left = (
                    int(torch.randint(0, room + 1, (), generator=generator))
                    for room in (height - rows, width - columns)
                )
                return top, left, rows, columns
        rows = min(height, round(width / self.ratio[0]))
        columns = min(width, round(height * self.ratio[1]))
        return (height - rows) // 2, (width - columns) // 2, rows, columns


def _stretched(own: int, side: int, start: int, length: int, size: int) -> Axis:
    """Where a part of a resized side lies once the part is as long as the crop, to the nearest pixel."""
    whole = max(size, round(side * size / length))
    return Axis(own, whole, min(round(start * size / length), whole - size), size)


def _between(ends: tuple[float, float], generator: Generator) -> float:
    return ends[0] + (ends[1] - ends[0]) * _uniform(generator)


def _uniform(generator: Generator) -> float:
    return float(torch.rand((), generator=generator, dtype=torch.float64))
