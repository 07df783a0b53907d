"""Default colours of classes can be told apart, whatever the names; usual colours are kept."""

from itertools import combinations

import numpy as np
import pytest
from PIL import Image, ImageCms

from segue.classes import CITYSCAPES_19, Colour, class_list, completed

JUST_NOTICEABLE = 2.3
"""A difference in CIELAB that an observer just sees between two patches side by side (Mahy et al., 1994)."""


def cielab(colours: list[Colour]) -> np.ndarray:
    """(N,3), by another library than the product's own arithmetic, and in another space."""
    picture = Image.fromarray(np.array([colours], dtype=np.uint8))
    convert = ImageCms.buildTransformFromOpenProfiles(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    converted = ImageCms.applyTransform(picture, convert)
    assert converted is not None
    light, *others = (np.array(band, dtype=np.float64)[0] for band in converted.split())
    # Pillow stores the lightness from 0 to 255, and the other two as signed bytes.
    return np.stack([light / 2.55, *((other + 128) % 256 - 128 for other in others)], axis=1)


def nearest(colours: list[Colour]) -> float:
    """The smallest difference of any two, or of one and black, which means ignored."""
    places = cielab([(0, 0, 0), *colours])
    return min(float(np.linalg.norm(one - other)) for one, other in combinations(places, 2))


@pytest.mark.parametrize(("number", "least"), [(2, 60), (11, 30), (19, 25), (40, 12)])
def test_classes_without_usual_colours_look_different(number: int, least: float) -> None:
    """Far more than just noticeably; the bit pattern that was used before gave 9 for 19 classes."""
    colours = class_list([f"class {i}" for i in range(number)]).colours
    assert nearest(list(colours)) > least > 4 * JUST_NOTICEABLE


def test_a_class_beside_usual_ones_looks_like_none_of_them() -> None:
    """A fourth class beside three of Cityscapes must not be another navy beside its car."""
    names = ["road", "crop", "weed", "soil", "car", "row", "tractor"]
    mixed = class_list(names)
    usual = dict(zip(CITYSCAPES_19.names, CITYSCAPES_19.colours, strict=True))
    assert (mixed.colours[0], mixed.colours[4]) == (usual["road"], usual["car"])
    assert nearest(list(mixed.colours)) > 25


def test_as_many_colours_as_there_can_be_classes() -> None:
    colours = completed([None] * 255)
    assert len(set(colours)) == 255 and (0, 0, 0) not in colours


def test_more_classes_keep_the_colours_of_fewer() -> None:
    """A class appended to the list changes no colour of the others."""
    assert completed([None] * 12)[:7] == completed([None] * 7)
