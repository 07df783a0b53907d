"""Objects of the street scenes, one a picture: a small data set for classification in two domains."""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from segue.data.streets import objects
from segue.data.streets.canvas import (
    BICYCLE,
    CAR,
    FENCE,
    LIGHT,
    PERSON,
    POLE,
    SIGN,
    STREET_CLASSES,
    VEGETATION,
    Canvas,
    Dice,
    Range,
)
from segue.data.streets.dataset import DOMAINS, SPLITS, Drawn
from segue.data.streets.objects import Place
from segue.data.streets.render import shade
from segue.data.streets.scene import draw_street
from segue.data.streets.style import Domain

OBJECT_CLASSES = STREET_CLASSES.subset(
    ("pole", "fence", "traffic light", "traffic sign", "vegetation", "person", "car", "bicycle")
)
"""The eight classes of things, in the order of their training ids."""

SCENE = (192, 384)
"""Height and width of the street that an object stands in."""

SMALLEST = 12
"""Pixels of the longer side of the smallest object that is cut out."""


class Kind(NamedTuple):
    """How an object of a class is drawn: its label in scenes, the depths in metres, and its drawing."""

    label: int
    depth: Range
    draw: Callable[[Canvas, Dice, Place], None]


def _draw_fence(canvas: Canvas, dice: Dice, place: Place) -> None:
    x, z = place
    # A rail lies along the street, so it is only seen from its side.
    beside = x + (1.5 if x >= 0 else -1.5)
    objects.draw_rail(
        canvas, beside, z=(z, z + dice.within((2.5, 6.0))), tall=dice.within((0.9, 1.3)), tint=dice.share()
    )


def _draw_car(canvas: Canvas, dice: Dice, place: Place) -> None:
    if dice.chance(0.4):
        objects.draw_crossing_car(canvas, dice, place=place)
    else:
        objects.draw_car(canvas, dice, place=place, oncoming=dice.chance(0.5))


def _draw_tree(canvas: Canvas, dice: Dice, place: Place) -> None:
    objects.draw_tree(canvas, dice, place=place, height=dice.within((3.0, 7.0)))


def _draw_lamp_post(canvas: Canvas, dice: Dice, place: Place) -> None:
    objects.draw_lamp_post(canvas, dice, place=place, height=dice.within((3.5, 6.0)))


def _draw_light(canvas: Canvas, dice: Dice, place: Place) -> None:
    objects.draw_traffic_light(canvas, dice, place=place, gantry=0)


def _draw_sign(canvas: Canvas, dice: Dice, place: Place) -> None:
    objects.draw_sign(canvas, dice, place=place)


def _draw_person(canvas: Canvas, dice: Dice, place: Place) -> None:
    objects.draw_person(canvas, dice, place=place)


def _draw_bicycle(canvas: Canvas, dice: Dice, place: Place) -> None:
    objects.draw_bicycle(canvas, dice, place=place)


KINDS = (
    Kind(POLE, (9.0, 18.0), _draw_lamp_post),
    Kind(FENCE, (5.0, 9.0), _draw_fence),
    Kind(LIGHT, (5.0, 12.0), _draw_light),
    Kind(SIGN, (5.0, 12.0), _draw_sign),
    Kind(VEGETATION, (9.0, 18.0), _draw_tree),
    Kind(PERSON, (5.0, 12.0), _draw_person),
    Kind(CAR, (7.0, 18.0), _draw_car),
    Kind(BICYCLE, (4.0, 10.0), _draw_bicycle),
)
"""In the order of :data:`OBJECT_CLASSES`."""


class StreetObjects(Drawn):
    """Objects cut out of street scenes of one domain and split; no name tells a class.

    "source" looks like a clean render, "target" like a camera's picture, as in
    :class:`segue.data.streets.dataset.StreetScenes`. Every class comes equally often. An object is drawn over a street,
    so nothing hides it, and cut out with something around it; whatever its shape, its picture is square.
    """

    classes = OBJECT_CLASSES
    called = "street objects"
    edition = "1"
    usual = (96, 96)

    def image(self, index: int) -> UInt8[Tensor, "3 h w"]:
        """The picture as RGB, 0 to 255."""
        words = (self.seed, SPLITS.index(self.split), self._checked(index), len(SPLITS))
        picture = rendered(words, self.domain, self.size, index % len(KINDS))
        return torch.from_numpy(picture).permute(2, 0, 1).clone(memory_format=torch.contiguous_format)

    def label(self, index: int) -> UInt8[Tensor, "1 1"]:
        """The training id of the object."""
        return torch.tensor([[self._checked(index) % len(KINDS)]], dtype=torch.uint8)


@lru_cache(maxsize=4096)
def rendered(words: tuple[int, ...], domain: Domain, size: tuple[int, int], kind: int) -> NDArray[np.uint8]:
    """One picture (H,W,3), the same on every machine; small ones are kept, so that a run draws each of them once."""
    dice = Dice((*words, DOMAINS.index(domain)))
    wanted = KINDS[kind]
    while True:
        scene = draw_street(dice, domain, size=SCENE)
        canvas, first = scene.canvas, len(scene.canvas.parts)
        depth = dice.within(wanted.depth)
        reach = 0.25 * SCENE[1] / canvas.camera.focal * depth
        place = (dice.within((-reach, reach)), depth)
        wanted.draw(canvas, dice, place)
        box = _box(canvas, first, wanted.label)
        if box is not None:
            break
    picture, _ = shade(scene, dice, domain=domain)
    return _cut(picture, box, dice, size=size)


def _box(canvas: Canvas, first: int, label: int) -> tuple[int, int, int, int] | None:
    """Top, bottom, left and right of the parts from ``first`` on that have a label; None if they are too small."""
    ids, _ = canvas.pixels()
    wanted = [part >= first and row[0] == label for part, row in enumerate(canvas.parts)]
    own: NDArray[np.bool_] = np.array(wanted)[ids]
    rows, columns = np.flatnonzero(own.any(1)), np.flatnonzero(own.any(0))
    if not len(rows):
        return None
    box = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    return box if max(box[1] - box[0], box[3] - box[2]) >= SMALLEST else None


def _cut(
    picture: NDArray[np.uint8], box: tuple[int, int, int, int], dice: Dice, *, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """A square around a box, moved and widened at random, at the wanted size."""
    top, bottom, left, right = box
    side = max(bottom - top, right - left) * dice.within((1.1, 1.6))
    side = min(side, *SCENE)
    row = (top + bottom) / 2 + side * dice.within((-0.08, 0.08)) - side / 2
    column = (left + right) / 2 + side * dice.within((-0.08, 0.08)) - side / 2
    row, column = min(max(row, 0), SCENE[0] - side), min(max(column, 0), SCENE[1] - side)
    area = (column, row, column + side, row + side)
    image = Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BILINEAR, box=area)
    return np.array(image)
