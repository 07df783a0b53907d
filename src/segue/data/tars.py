"""Data sets in tar archives ("shards"), as WebDataset packs them: a picture's files share their name up to a dot."""

import os
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from glob import glob
from itertools import accumulate
from pathlib import Path

from segue.data.decoding import EXTENSIONS
from segue.data.tar_index import CLASS, Index, index_all
from segue.data.tar_member import Member

LABELS = (".label", ".seg", ".mask")
"""What follows a picture's name in that of its label, if nobody says so: of these, the one that there is."""

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


class InTars(Mapping[str, Path]):
    """Some files of archives, in order of name."""

    def __init__(self, indices: Sequence[Index], rows: Mapping[str, int]) -> None:
        self._indices = indices
        self._ends = list(accumulate(map(len, indices)))
        self._rows = {name: rows[name] for name in sorted(rows)}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __getitem__(self, name: str) -> Member:
        return self.at(self._rows[name])

    def at(self, row: int) -> Member:
        """The file of a row, counted over all archives."""
        place = bisect_right(self._ends, row)
        index = self._indices[place]
        return index.member(row - self._ends[place] + len(index))


class Tars:
    """Archives that have been looked into.

    A picture is called ``KEY.jpg`` or ``KEY.png``, without a dot in KEY; its label ``KEY.label.png``, its class
    ``KEY.cls``. Other files are passed over.
    """

    def __init__(self, root: Path, paths: Sequence[str]) -> None:
        self.root = root
        self._indices = index_all(paths)

    def pictures(self, label_suffix: str = "") -> InTars:
        """The pictures by name; what ends as labels do is none.

        Raises:
            ValueError: If there is none, or two have one name.
        """
        found = self._named(lambda name: None if _stem(name, label_suffix) else _picture(name))
        if not found:
            raise ValueError(
                f"{self.root}: no picture in these archives; one is called KEY.jpg or KEY.png, without another dot in"
                " KEY, and its label KEY.label.png"
            )
        return found

    def labels(self, suffix: str) -> tuple[str, InTars]:
        """The labels by their pictures' names, and what follows these in the labels'.

        Args:
            suffix: That, if somebody says so; else one of LABELS.

        Raises:
            ValueError: If there are none, or of two kinds, or a picture has two.
        """
        suffixes = (suffix,) if suffix else LABELS
        tried = {one: self._named(lambda name, one=one: _stem(name, one)) for one in suffixes}
        found = {one: files for one, files in tried.items() if files}
        if len(found) == 1:
            return next(iter(found.items()))
        names = " or ".join(f"KEY{one}.png" for one in found or tried)
        what = f"labels are called {names}" if found else f"no label {names} in these archives"
        raise ValueError(
            f"{self.root}: {what}; say which with --label-suffix or label_suffix, such as .label"
        )

    def classes(self) -> InTars:
        """The files of class numbers by their pictures' names."""
        return self._named(lambda name: name.removesuffix(CLASS) if name.endswith(CLASS) else None)

    def _named(self, naming: Callable[[str], str | None]) -> InTars:
        rows: dict[str, int] = {}
        row = 0
        for index in self._indices:
            for inner in index.names:
                name = naming(inner)
                if name is not None and rows.setdefault(name, row) != row:
                    self._refuse_second(row, rows[name])
                row += 1
        return InTars(self._indices, rows)

    def _refuse_second(self, row: int, first: int) -> None:
        some = InTars(self._indices, {})
        one, other = some.at(row), some.at(first)
        raise ValueError(
            f"{one.shard.path}: {one.inner_name} has the name of {other.inner_name} in"
            f" {os.path.basename(other.shard.path)}; rename one, or say how labels end with label_suffix"
            " (.png, where pictures are KEY.jpg)"
        )


def find_tars(root: Path, split: str | None = None) -> Tars | None:
    """The archives that a place stands for; None if it is something else.

    Args:
        root: An archive, a folder that holds nothing but archives and lists, or a pattern of archives with ``*``,
            ``?``, ``{a,b}`` or ``{000..123}``.
        split: The sub-folder of the root with the archives.

    Raises:
        FileNotFoundError: If a pattern fits no file, or one that it names is missing.
        ValueError: As :func:`segue.data.tar_index.read_index`.
    """
    place = root if split is None else root / split
    if place.is_dir():
        paths = _only_tars(place)
    elif place.name.endswith((".tar", *_COMPRESSED)):
        paths = _fitting(str(place))
    else:
        return None
    return Tars(place, paths) if paths else None


def file_of(path: Path) -> Path:
    """What a path that was written down means: a file, or a member of an archive."""
    archive = next((str(place) for place in path.parents if place.is_file()), None)
    if archive is None:
        return path
    row = _rows_of(archive)[1].get(str(path)[len(archive) + 1 :])
    return path if row is None else _rows_of(archive)[0].member(row)


@lru_cache(maxsize=4)
def _rows_of(archive: str) -> tuple[Index, dict[str, int]]:
    (index,) = index_all([archive])
    return index, {name: row for row, name in enumerate(index.names)}


def _only_tars(folder: Path) -> list[str]:
    """A folder's archives; none if it holds pictures or folders, too."""
    paths: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            end = os.path.splitext(entry.name)[1].lower()
            if entry.name.startswith("."):
                continue
            if end in EXTENSIONS or entry.is_dir():
                return []
            if entry.name.endswith((".tar", *_COMPRESSED)):
                paths.append(entry.path)
    return sorted(paths)


def _fitting(pattern: str) -> list[str]:
    spelled = list(_spelled(pattern))
    found: list[str] = []
    for one in spelled:
        fitting = [one] if os.path.isfile(one) else sorted(glob(one))
        if not fitting:
            more = f" (of {len(spelled)} that {pattern} stands for)" if len(spelled) > 1 else ""
            raise FileNotFoundError(f"{one}: no such archive{more}")
        found += fitting
    return list(dict.fromkeys(found))


def _spelled(pattern: str) -> Iterator[str]:
    """What braces stand for."""
    braces = None if os.path.isfile(pattern) else _BRACES.search(pattern)
    if braces is None:
        yield pattern
        return
    numbers = _RANGE.fullmatch(braces[1])
    if numbers:
        first, last = numbers.groups()
        parts = [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    else:
        parts = braces[1].split(",")
    for part in parts:
        yield from _spelled(pattern[: braces.start()] + part + pattern[braces.end() :])


def _picture(name: str) -> str | None:
    """The name of a picture without extension; None of anything else."""
    stem, end = os.path.splitext(name)
    return stem if end.lower() in EXTENSIONS and "." not in os.path.basename(stem) else None


def _stem(name: str, suffix: str) -> str | None:
    """The name of the picture that a label belongs to; None of anything else, or without a suffix."""
    if not suffix or suffix not in name:
        return None
    stem, end = os.path.splitext(name)
    if end.lower() not in EXTENSIONS:
        return None
    known = name if suffix.lower().endswith(tuple(EXTENSIONS)) else stem
    return known.removesuffix(suffix) if known.endswith(suffix) else None
