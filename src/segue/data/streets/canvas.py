"""A canvas that remembers what was drawn: each pixel holds a part's id, each part its class, material and plane."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import floor

import numpy as np
from PIL import Image, ImageDraw

from segue.classes import CITYSCAPES_19

STREET_CLASSES = CITYSCAPES_19.subset(
    (
        "road", "sidewalk", "building", "fence", "pole", "traffic light", "traffic sign", "vegetation",
        "sky", "person", "car", "bicycle",
    )
)  # fmt: skip
"""The twelve classes of the built-in street scenes, in the order of their training ids."""

(
    ROAD, SIDEWALK, BUILDING, FENCE, POLE, LIGHT, SIGN, VEGETATION, SKY, PERSON, CAR, BICYCLE,
) = range(12)  # fmt: skip

MATERIALS = (
    "sky", "asphalt", "paving", "curb", "facade", "roof", "metal", "rail", "housing", "red lamp",
    "amber lamp", "green lamp", "sign face", "sign mark", "leaf", "bark", "skin", "hair", "shirt",
    "trousers", "paint", "glass", "tyre", "rim", "head lamp", "tail lamp", "frame", "spokes", "distance",
)  # fmt: skip
"""The materials; a domain's palette has a row for each."""

(
    AIR, ASPHALT, PAVING, CURB, FACADE, ROOF, METAL, RAIL, HOUSING, RED, AMBER, GREEN, SIGN_FACE, SIGN_MARK,
    LEAF, BARK, SKIN, HAIR, SHIRT, TROUSERS, PAINT, GLASS, TYRE, RIM, HEAD_LAMP, TAIL_LAMP,
    FRAME, SPOKES, DISTANCE,
) = range(29)  # fmt: skip

FRONT, SIDE, FLAT = range(3)
"""The direction that a part faces: towards the camera, across the street, or up."""

Point = tuple[float, float, float]
"""Metres right of the camera, above the ground, and ahead of the camera."""

Range = tuple[float, float]
"""The ends of a uniform distribution."""


class Dice:
    """Random numbers one at a time, drawn in blocks, as a call of the generator for each would cost too much."""

    def __init__(self, seed: Sequence[int]) -> None:
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
        self._next = self._numbers(generator).__next__

    @staticmethod
    def _numbers(generator: np.random.Generator) -> Iterator[float]:
        while True:
            yield from generator.random(1024).tolist()

    def share(self) -> float:
        """A number in [0, 1)."""
        return self._next()

    def within(self, ends: Range) -> float:
        """A number between two ends."""
        return ends[0] + (ends[1] - ends[0]) * self._next()

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self._next() < probability

    def whole(self, count: int) -> int:
        """One of 0 to ``count - 1``."""
        return int(self._next() * count)


@dataclass(frozen=True)
class Camera:
    """A camera that looks along the street; pitch and yaw only shift the vanishing point.

    Attributes:
        height: Above the ground, in metres.
        focal: Focal length in pixels.
        horizon: The row of the vanishing point.
    """

    height: float
    focal: float
    column: float
    horizon: float


@dataclass
class Canvas:
    """Parts drawn over one another, the far ones first.

    The inverse depth of a plane is affine in column and row, so three numbers per part give the depth of each
    of its pixels, and through it the pixel's place in the world.

    Attributes:
        size: Height and width in pixels.
        parts: For each part its class, material, facing, tint in [0, 1), and the three numbers of its inverse
            depth: the constant, and the factors of column and row measured from the vanishing point.
    """

    camera: Camera
    size: tuple[int, int]
    parts: list[tuple[float, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        shape = (self.size[1], self.size[0])
        self._ids = Image.new("I", shape, 0)
        self._draw = ImageDraw.Draw(self._ids)
        self._shadow = Image.new("L", shape, 0)
        self._shade = ImageDraw.Draw(self._shadow)
        self._lens = (self.camera.column, self.camera.horizon, self.camera.focal, self.camera.height)

    def front(self, z: float, label: int, *, material: int, tint: float) -> int:
        """A new part that faces the camera at depth ``z``; returns its id."""
        self.parts.append((label, material, FRONT, tint, 1 / z, 0, 0))
        return len(self.parts) - 1

    def side(self, x: float, label: int, *, material: int, tint: float) -> int:
        """A new part in the upright plane along the street at ``x``, not 0; returns its id."""
        self.parts.append((label, material, SIDE, tint, 0, 1 / (self.camera.focal * x), 0))
        return len(self.parts) - 1

    def flat(self, y: float, label: int, *, material: int, tint: float) -> int:
        """A new level part at height ``y``, not the camera's; returns its id."""
        drop = self.camera.height - y
        self.parts.append((label, material, FLAT, tint, 0, 0, 1 / (self.camera.focal * drop)))
        return len(self.parts) - 1

    def sees(self, x: float, z: float, half: float) -> bool:
        """Whether something that extends ``half`` metres to both sides of (x, z) can be in the picture."""
        scale = self.camera.focal / z
        column = self.camera.column + x * scale
        return -half * scale < column < self.size[1] + half * scale

    def fill(self, part: int, top: float) -> None:
        """Paint all rows from ``top`` downwards."""
        self._draw.rectangle((0, int(top + 0.5), self.size[1], self.size[0]), fill=part)

    def polygon(self, part: int, points: Sequence[Point]) -> None:
        """Paint a polygon of points in the world."""
        self._draw.polygon(self._projected(points), fill=part)

    def upright(self, part: int, x: float, *, y: Range, z: Range) -> None:
        """Paint a rectangle in the plane along the street."""
        self.polygon(part, ((x, y[0], z[0]), (x, y[1], z[0]), (x, y[1], z[1]), (x, y[0], z[1])))

    def level(self, part: int, *, x: Range, y: float, z: Range) -> None:
        """Paint a level rectangle."""
        self.polygon(part, ((x[0], y, z[0]), (x[1], y, z[0]), (x[1], y, z[1]), (x[0], y, z[1])))

    def outline(
        self,
        part: int,
        at: Point,
        *,
        points: Sequence[tuple[float, float]],
        stretch: tuple[float, float] = (1, 1),
    ) -> None:
        """Paint a polygon that faces the camera; its corners, once stretched, are in metres from a point."""
        column, row, scale = self._place(at)
        right, up = scale * stretch[0], scale * stretch[1]
        self._draw.polygon([(column + x * right, row - y * up) for x, y in points], fill=part)

    def line(self, part: int, at: Point, *, points: Sequence[tuple[float, float]], thickness: float) -> None:
        """Paint a polyline that faces the camera, at least one pixel thick."""
        column, row, scale = self._place(at)
        corners = [(column + x * scale, row - y * scale) for x, y in points]
        self._draw.line(corners, fill=part, width=max(int(thickness * scale + 0.5), 1))

    def box(self, part: int, *, x: Range, y: Range, z: float) -> None:
        """Paint an upright rectangle that faces the camera; it covers at least one pixel."""
        column, row, focal, height = self._lens
        scale = focal / z
        row += height * scale
        left, right = floor(column + x[0] * scale + 0.5), floor(column + x[1] * scale - 0.5)
        top, bottom = floor(row - y[1] * scale + 0.5), floor(row - y[0] * scale - 0.5)
        self._draw.rectangle(
            (left, top, right if right > left else left, bottom if bottom > top else top), fill=part
        )

    def disc(self, part: int, at: Point, *, radius: tuple[float, float]) -> None:
        """Paint an ellipse that faces the camera; ``radius`` is half its width and height in metres."""
        column, row, scale = self._place(at)
        wide, high = radius[0] * scale, radius[1] * scale
        self._draw.ellipse((column - wide, row - high, column + wide, row + high), fill=part)

    def shadow(self, x: Range, z: Range, *, strength: int) -> None:
        """Darken a rectangle of the ground; what stands on it stays bright."""
        corners = ((x[0], 0.0, z[0]), (x[1], 0.0, z[0]), (x[1], 0.0, z[1]), (x[0], 0.0, z[1]))
        self._shade.polygon(self._projected(corners), fill=strength)

    def pixels(self) -> tuple[np.ndarray, np.ndarray]:
        """The part of every pixel (int32) and the shadow on the ground (uint8, 255 is darkest)."""
        return np.asarray(self._ids), np.asarray(self._shadow)

    def _projected(self, points: Sequence[Point]) -> list[tuple[float, float]]:
        column, row, focal, height = self._lens
        return [(column + x * (focal / z), row + (height - y) * (focal / z)) for x, y, z in points]

    def _place(self, at: Point) -> tuple[float, float, float]:
        column, row, focal, height = self._lens
        scale = focal / at[2]
        return column + at[0] * scale, row + (height - at[1]) * scale, scale
