"""Class lists: names, colours, and the subsets that papers score."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from math import dist

Colour = tuple[int, int, int]
Place = tuple[float, float, float]


@dataclass(frozen=True)
class ClassList:
    """Training classes in order: the position of a name is its training id.

    Raises:
        ValueError: If it is empty, a name appears twice or is "ignore", there are more than 255 names (255 means
            ignored), or names and colours differ in number.
    """

    names: tuple[str, ...]
    colours: tuple[Colour, ...]

    def __post_init__(self) -> None:
        if not self.names:
            raise ValueError("the class list is empty: name at least one class")
        repeated = sorted({name for name in self.names if self.names.count(name) > 1})
        if repeated:
            raise ValueError(f"class names appear twice: {', '.join(repeated)}")
        if "ignore" in self.names:
            raise ValueError("'ignore' says which pixels have no class: leave it out of the classes")
        if len(self.names) > 255:
            raise ValueError(f"{len(self.names)} classes: at most 255 fit beside the ignored value 255")
        if len(self.names) != len(self.colours):
            raise ValueError(f"{len(self.names)} class names but {len(self.colours)} colours")

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """The training id of a class.

        Raises:
            ValueError: If there is no such class; the message names the nearest one.
        """
        if name not in self.names:
            raise ValueError(f"unknown class {name!r}{nearest(name, self.names)}")
        return self.names.index(name)

    def subset(self, names: Sequence[str]) -> "ClassList":
        """The named classes in the given order, colours kept.

        Raises:
            ValueError: If a name is unknown.
        """
        return ClassList(tuple(names), tuple(self.colours[self.index(name)] for name in names))


def nearest(word: str, known: Sequence[str]) -> str:
    """The end of an error message: the nearest known word, or all of them if none is near."""
    close = get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def class_list(names: Sequence[str], colours: Sequence[Colour] | None = None) -> ClassList:
    """A class list from names; without colours, Cityscapes names keep their usual ones and others get distinct ones.

    Raises:
        ValueError: As :class:`ClassList`.
    """
    if colours is not None:
        return ClassList(tuple(names), tuple(colours))
    usual = dict(zip(CITYSCAPES_19.names, CITYSCAPES_19.colours, strict=True))
    return ClassList(tuple(names), tuple(completed([usual.get(name) for name in names])))


def completed(colours: Sequence[Colour | None]) -> list[Colour]:
    """The colours with a distinct one for every None: each as unlike as can be to the others, black and white."""
    given = [colour for colour in colours if colour is not None]
    found = iter(_distinct(tuple(given), len(colours) - len(given)))
    return [next(found) if colour is None else colour for colour in colours]


@cache
def _distinct(taken: tuple[Colour, ...], number: int) -> tuple[Colour, ...]:
    """Colours chosen one by one, each the farthest of a grid from all before it; the grid has 729."""
    steps = [*range(0, 256, 32), 255]
    grid: list[Colour] = [(red, green, blue) for red in steps for green in steps for blue in steps]
    places = {colour: _seen(colour) for colour in grid}
    nearest_taken = dict.fromkeys(places, float("inf"))
    chosen: list[Colour] = []
    for colour in ((0, 0, 0), (255, 255, 255), *taken):
        _come_nearer(nearest_taken, places, _seen(colour))
    for _ in range(number):
        farthest = max(nearest_taken, key=nearest_taken.__getitem__)
        chosen.append(farthest)
        _come_nearer(nearest_taken, places, places[farthest])
    return tuple(chosen)


def _come_nearer(distances: dict[Colour, float], places: dict[Colour, Place], taken: Place) -> None:
    for colour, place in places.items():
        distances[colour] = min(distances[colour], dist(place, taken))


def _seen(colour: Colour) -> Place:
    """A colour in Oklab (Ottosson, 2020), where distances are about as large as they look."""
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (part / 255 for part in colour)
    )
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    middle = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )


CITYSCAPES_19 = ClassList(
    (
        "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
        "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train",
        "motorcycle", "bicycle",
    ),
    (
        (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153),
        (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60),
        (255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32),
    ),
)  # fmt: skip
"""The 19 classes of the Cityscapes benchmark, by training id."""

SYNTHIA_16 = CITYSCAPES_19.subset([n for n in CITYSCAPES_19.names if n not in {"terrain", "truck", "train"}])
"""The classes that SYNTHIA shares with Cityscapes, over which its usual mean is taken."""

SYNTHIA_13 = SYNTHIA_16.subset([n for n in SYNTHIA_16.names if n not in {"wall", "fence", "pole"}])
"""The classes of an older mean over SYNTHIA: without wall, fence and pole."""

SUBSETS = {"synthia_16": SYNTHIA_16, "synthia_13": SYNTHIA_13}
"""The subsets by the names that commands and tables use."""

THINGS = ("traffic light", "traffic sign", *CITYSCAPES_19.names[CITYSCAPES_19.index("person") :])
"""Cityscapes classes of countable objects; DAFormer's feature distance looks only at them."""
