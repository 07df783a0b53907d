"""Names and paths of many files as flat bytes: a million cost little, and worker processes neither copy nor touch them.

A Python object for each name would take ten times the memory. A forked worker would copy even what it only looks at, as
looking changes an object's count of references.
"""

import os
from bisect import bisect_left
from collections.abc import ItemsView, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np


class Texts:
    """Many texts one after the other in a single buffer, with the places where they begin."""

    def __init__(self, texts: Iterable[str]) -> None:
        pieces = [os.fsencode(text) for text in texts]
        self._bytes = b"".join(pieces)
        lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
        self._bounds = np.concatenate([np.zeros(1, np.int64), lengths.cumsum()])

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def __getitem__(self, index: int) -> str:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{index} of {len(self)} texts")
        start, stop = self._bounds[index % len(self) :][:2].tolist()
        return os.fsdecode(self._bytes[start:stop])

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))


class Paths:
    """The path of a file for each name.

    As a path mostly repeats the name, only what stands before and after it is kept, once for all paths that share it.

    Args:
        paths: In the order of the names.
    """

    def __init__(self, names: Texts, paths: Iterable[Path]) -> None:
        self.names = names
        kinds: dict[tuple[str, int, str], int] = {}
        found = (kinds.setdefault(_around(n, str(p)), len(kinds)) for n, p in zip(names, paths, strict=True))
        self._kind = np.fromiter(found, np.int32)
        self._kinds = Texts(part for before, _, after in kinds for part in (before, after))
        self._skipped = np.array([skipped for _, skipped, _ in kinds], np.int32)

    def __len__(self) -> int:
        return len(self._kind)

    def __getitem__(self, index: int) -> Path:
        return Path(self.text(index))

    def __iter__(self) -> Iterator[Path]:
        return (self[index] for index in range(len(self)))

    def text(self, index: int) -> str:
        """The path as a string."""
        kind = int(self._kind[index])
        return self._kinds[2 * kind] + self.names[index][self._skipped[kind] :] + self._kinds[2 * kind + 1]


class FilesByName(Mapping[str, Path]):
    """The files of a mapping whose names are in order."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        ordered = sorted(files)
        self.names = Texts(ordered)
        self.paths = Paths(self.names, (files[name] for name in ordered))

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __getitem__(self, name: str) -> Path:
        place = bisect_left(self.names, name)
        if place == len(self) or self.names[place] != name:
            raise KeyError(name)
        return self.paths[place]

    def items(self) -> ItemsView[str, Path]:
        """Names and paths, in order."""
        return _InOrder(self)


class _InOrder(ItemsView[str, Path]):
    """Goes through them without looking every name up."""

    def __init__(self, files: FilesByName) -> None:
        super().__init__(files)
        self.files = files

    def __iter__(self) -> Iterator[tuple[str, Path]]:
        return zip(self.files.names, self.files.paths, strict=True)


def _around(name: str, path: str) -> tuple[str, int, str]:
    """What stands in a path before and after its name, of which the first so many characters may be missing."""
    skipped = 0
    while True:
        before, found, after = path.rpartition(name[skipped:])
        if found:
            return before, skipped, after
        further = name.find("/", skipped) + 1
        if not further:
            return path, len(name), ""
        skipped = further
