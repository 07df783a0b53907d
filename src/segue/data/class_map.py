"""From the numbers in a data set's label files to training classes: class list files and class maps."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import yaml
from jaxtyping import UInt8
from torch import Tensor, from_numpy

from segue.classes import ClassList, Colour, class_list, nearest
from segue.ops.bytes import count_bytes
from segue.trees import parse_yaml
from segue.types import IGNORE

IGNORED = "ignore"
"""The class map's value for a class that is not trained on."""

REST = "*"
"""The class map's key for every class without an entry of its own or a training class of its name."""

CLASS_FILES = ("classes.json", "classes.yaml", "classes.yml")
"""The names that a folder's own class list may have."""

KEYS = ("classes", "ignore", "void", "colours", "colors", "palette")

HIGHEST = 65535
"""The highest value a 16-bit label file can hold."""


@dataclass(frozen=True)
class LabelClasses:
    """The classes of a data set's label files.

    Attributes:
        names: The name of each label value; several values may share one.
        ignored: Values that mean "not labelled".
        declared: Whether the ignored values were written down rather than assumed.
        colours: The colour of each label value; empty if none were given.
        origin: Where this was read, for messages.
        void: The colours of pixels without a label.
    """

    names: dict[int, str]
    ignored: frozenset[int] = frozenset({IGNORE})
    declared: bool = False
    colours: dict[int, Colour] = field(default_factory=dict)
    origin: str = "the label classes"
    void: tuple[Colour, ...] = ()


def class_file(folder: Path) -> Path | None:
    """A folder's own class list, or one beside tar archives or a pattern of them; None if there is none."""
    folder = folder.parent if folder.name.endswith(".tar") and not folder.is_dir() else folder
    return next((folder / name for name in CLASS_FILES if (folder / name).is_file()), None)


def read_label_classes(path: Path) -> LabelClasses:
    """Read a class list file.

    It is JSON or YAML: a list of names (their positions are the label values), a mapping from label value to
    name, or a mapping with ``classes`` (either of the two), ``ignore`` (a value or a list of them, 255 unless
    given), ``colours`` or ``palette`` (red, green, blue of each class, in the order of ``classes``) and ``void`` (the
    colour of what is not labelled, or a list of them).

    Raises:
        ValueError: If it is neither JSON nor YAML, or does not have this form.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is no file")
        text = path.read_text(encoding="utf-8-sig")
        content: object = json.loads(text) if path.suffix.lower() == ".json" else parse_yaml(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: not a class list: {reason}") from error
    return parse_label_classes(content, str(path))


def read_class_list(path: Path) -> ClassList:
    """Training classes from a class list file, in the order of their label values, with its colours or usual ones."""
    own = read_label_classes(path)
    values = sorted(own.names)
    colours = [own.colours[value] for value in values] if own.colours else None
    return class_list([own.names[value] for value in values], colours)


def parse_label_classes(content: object, origin: str) -> LabelClasses:
    """Interpret the content of a class list file, see :func:`read_label_classes`; ``origin`` is for messages.

    Raises:
        ValueError: If a key is unknown, or an entry is not what it should be.
    """
    if not isinstance(content, dict) or "classes" not in content:
        return LabelClasses(_names(content, origin), origin=origin)
    given = cast("dict[object, object]", content)
    for key in given:
        if key not in KEYS:
            raise ValueError(f"{origin}: unknown key {key!r}{nearest(str(key), KEYS)}")
    names = _names(given["classes"], origin)
    ignored = given.get("ignore", IGNORE)
    values = frozenset(_value(value, origin) for value in _listed(ignored))
    both = sorted(values & names.keys()) if "ignore" in given else []
    if both:
        raise ValueError(f"{origin}: value {both[0]} is both ignored and class {names[both[0]]!r}")
    palette = next((given[key] for key in KEYS[3:] if key in given), None)
    colours = {} if palette is None else _colours(palette, list(names), origin)
    void = _void(given["void"], origin) if "void" in given else ()
    if void and not (colours and values - names.keys()):
        raise ValueError(f"{origin}: void goes with colours, and with a value to ignore that is no class")
    named = next((value for value, colour in colours.items() if colour in void), None)
    if named is not None:
        raise ValueError(f"{origin}: colour {colours[named]} is both void and class {names[named]!r}")
    return LabelClasses(names, values, "ignore" in given, colours, origin, void)


@dataclass(frozen=True)
class LabelTable:
    """Translates stored label values to training ids.

    Attributes:
        ids: The training id of every value up to the highest known one, IGNORE for what is not trained on.
        masks: Whether a file that holds only 0 and 255 is taken for a badly saved two-class mask.
    """

    ids: np.ndarray
    known: frozenset[int]
    masks: bool

    def translate(self, values: np.ndarray, origin: str) -> UInt8[Tensor, "h w"]:
        """The training ids of one label; ``origin`` is the label file, for messages.

        Raises:
            ValueError: If a value has no meaning, or the file looks like a 0/255 mask.
        """
        if self.is_plain and values.dtype == np.uint8 and int((values + 1).max(initial=0)) < len(self.known):
            return from_numpy(values)
        complaint = self.complaint(_distinct(values), origin)
        if complaint is not None:
            raise ValueError(complaint)
        return from_numpy(np.take(self.ids, values))

    @cached_property
    def is_plain(self) -> bool:
        """Whether values are training ids already: 0 to K - 1, and 255, to which adding one as a byte gives zero."""
        known = sorted(self.known)
        plain = known == [*range(len(known) - 1), IGNORE] and not self.masks
        return plain and all(self.ids[value] == value for value in known)

    def complaint(self, present: list[int], origin: str) -> str | None:
        """What is wrong with a label of these values, in order; None if nothing is. ``origin`` is for messages."""
        known = self.known.issuperset(present)
        if present == [0, IGNORE] and (self.masks or not known):
            return _mask_complaint(origin)
        if known:
            return None
        bad = [value for value in present if value not in self.known]
        shown = ", ".join(map(str, bad[:8])) + (", ..." if len(bad) > 8 else "")
        meant = _ranges(sorted(self.known))
        advice = "name them in the class list, or list them under its key 'ignore'"
        if 0 not in present and bad == [max(self.known - {IGNORE}, default=-1) + 1]:
            advice = "if the labels count from 1, write the class list as {1: name, 2: name, ...}"
        return f"{origin}: label values {shown} are outside the class list (values {meant}); {advice}"


def label_table(
    own: LabelClasses, training: ClassList, class_map: Mapping[str, str], *, place: str = "the class map"
) -> LabelTable:
    """Determine the training class of every label value.

    A class becomes what the map says; without an entry, the training class of its own name; without one,
    what the map's ``*`` says.

    Args:
        class_map: From own names to training names or ``ignore``.
        place: Where that map is written, for messages.

    Raises:
        ValueError: If the map names an unknown class on either side, or does not cover one of its own classes; the
            message holds what to write.
    """
    own_names = list(dict.fromkeys(own.names.values()))
    for name, goal in class_map.items():
        if name != REST and name not in own_names:
            raise ValueError(f"class map: {own.origin} has no class {name!r}{nearest(str(name), own_names)}")
        if goal != IGNORED and goal not in training.names:
            raise ValueError(
                f"class map: {name!r} goes to {goal!r}, which is neither a training class nor"
                f" {IGNORED!r}{nearest(str(goal), training.names)}"
            )
    goals = {name: _goal(name, training, class_map) for name in own_names}
    lost = [name for name, goal in goals.items() if goal is None]
    if lost:
        raise ValueError(
            f"{own.origin}: {len(lost)} of its classes are not training classes; add to {place}, with a training class"
            f" ({', '.join(training.names)}) or {IGNORED} for each '?': {_to_complete(lost)}"
            f" ('{REST}: {IGNORED}' covers the rest)"
        )
    highest = max((*own.names, *own.ignored, IGNORE))
    ids = np.full(highest + 1, IGNORE, dtype=np.uint8)
    for value, name in own.names.items():
        goal = goals[name]
        ids[value] = IGNORE if goal in (None, IGNORED) else training.index(goal)
    masks = not own.declared and sorted(own.names) in ([0], [0, 1])
    return LabelTable(ids, own.ignored.union(own.names), masks)


def _to_complete(names: Sequence[str]) -> str:
    """A class map of these names in YAML, on one line."""
    return yaml.safe_dump(
        dict.fromkeys(names, "?"), default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**9
    ).strip()


def _goal(name: str, training: ClassList, class_map: Mapping[str, str]) -> str | None:
    if name in class_map:
        return class_map[name]
    return name if name in training.names else class_map.get(REST)


def _names(content: object, origin: str) -> dict[int, str]:
    if isinstance(content, list):
        listed = [_name(entry, origin) for entry in cast("list[object]", content)]
        repeated = sorted({name for name in listed if listed.count(name) > 1})
        if repeated:
            raise ValueError(f"{origin}: class names appear twice: {', '.join(repeated)}")
        names = dict(enumerate(listed))
    elif isinstance(content, dict):
        pairs = cast("dict[object, object]", content)
        names = {_value(value, origin): _name(name, origin) for value, name in pairs.items()}
    else:
        raise ValueError(f"{origin}: expected a list of class names, or a mapping from label value to name")
    if not names:
        raise ValueError(f"{origin}: the class list is empty: name at least one class")
    return names


def _name(entry: object, origin: str) -> str:
    if not isinstance(entry, str) or not entry.strip():
        raise ValueError(f"{origin}: {entry!r} is not a class name; put names in quotes")
    return entry


def _value(entry: object, origin: str) -> int:
    text = str(entry).strip()
    if isinstance(entry, bool) or not (text.isascii() and text.isdigit()) or int(text) > HIGHEST:
        raise ValueError(f"{origin}: {entry!r} is not a label value; a whole number from 0 to {HIGHEST} is")
    return int(text)


def _colours(palette: object, values: Sequence[int], origin: str) -> dict[int, Colour]:
    listed = _listed(palette)
    if len(listed) != len(values):
        raise ValueError(f"{origin}: {len(values)} classes but {len(listed)} colours")
    return dict(zip(values, (_colour(entry, origin) for entry in listed), strict=True))


def _void(given: object, origin: str) -> tuple[Colour, ...]:
    """One colour, or a list of them."""
    entries = _listed(given)
    one = bool(entries) and not isinstance(entries[0], list | tuple)
    return tuple(_colour(entry, origin) for entry in ([given] if one else entries))


def _colour(entry: object, origin: str) -> Colour:
    parts = _listed(entry)
    if len(parts) != 3 or not all(type(part) is int and 0 <= part <= 255 for part in parts):
        raise ValueError(f"{origin}: {entry!r} is not a colour; three whole numbers from 0 to 255 are")
    red, green, blue = cast("list[int]", parts)
    return red, green, blue


def _listed(entry: Any) -> list[object]:
    return list(entry) if isinstance(entry, list | tuple) else [entry]


def _mask_complaint(origin: str) -> str:
    return (
        f"{origin}: the only label values are 0 and 255: it looks like a 0/255 mask, but 255 means ignored;"
        " write the class list as {0: background, 255: name}, or say 'ignore: 255' in it if that is meant"
    )


def _distinct(values: np.ndarray) -> list[int]:
    """Every value that occurs, in order."""
    if values.dtype == np.uint8:
        return count_bytes(from_numpy(values)).nonzero().flatten().tolist()
    return np.unique(values).tolist()


def _ranges(values: Sequence[int]) -> str:
    """Whole numbers in words: 0-10, 255."""
    ends = [value for value in values if value + 1 not in set(values)]
    starts = [value for value in values if value - 1 not in set(values)]
    spans = zip(starts, ends, strict=True)
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
