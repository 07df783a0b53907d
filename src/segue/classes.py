"""Class lists: names, colours, and the subsets that papers score."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class ClassList:
    """Training classes in order: the position of a name is its training id.

    Raises:
        ValueError: If it is empty, a name appears twice, there are more than 255 names (255 means ignored),
            or names and colours differ in number.
    """

    names: tuple[str, ...]
    colours: tuple[Colour, ...]

    def __post_init__(self) -> None:
        if not self.names:
            raise ValueError("the class list is empty: name at least one class")
        repeated = sorted({name for name in self.names if self.names.count(name) > 1})
        if repeated:
            raise ValueError(f"class names appear twice: {', '.join(repeated)}")
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
    return ClassList(
        tuple(names), tuple(usual.get(name) or distinct_colour(i) for i, name in enumerate(names))
    )


def distinct_colour(index: int) -> Colour:
    """The colour of a class without a usual one: the PASCAL VOC bit pattern, which never repeats below 256."""
    red = green = blue = 0
    value = index + 1
    for bit in range(7, -1, -1):
        red |= (value & 1) << bit
        green |= (value >> 1 & 1) << bit
        blue |= (value >> 2 & 1) << bit
        value >>= 3
    return red, green, blue


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
