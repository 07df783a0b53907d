"""Files inside tar archives, as paths that are read where they lie: nothing is unpacked."""

import io
import os
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segue.data.file_names import Paths, Texts

if TYPE_CHECKING:
    _SystemPath = Path
else:
    _SystemPath = type(Path())  # before Python 3.12 only the system's own kind of path can be derived from


@dataclass(frozen=True)
class Shard:
    """A tar archive with its size in bytes and time in nanoseconds when it was looked into."""

    path: str
    size: int
    time: int

    @classmethod
    def at(cls, path: str) -> "Shard":
        """The archive as it is now."""
        status = os.stat(path)
        return cls(path, status.st_size, status.st_mtime_ns)

    def read(self, offset: int, length: int) -> bytes:
        """So many bytes from a place, or less at the archive's end.

        Raises:
            ValueError: If the archive has changed, so that something else may lie there.
        """
        with open(self.path, "rb", buffering=0) as file:
            file.seek(offset)
            content = file.read(length)
            status = os.fstat(file.fileno())  # afterwards, as it may be changed meanwhile
        if (status.st_size, status.st_mtime_ns) != (self.size, self.time):
            raise ValueError(
                f"{self.path}: changed since it was looked into; start again, and leave it alone while it is read"
            )
        return content


class Member(_SystemPath):
    """A file in an archive, as a path: ``shard-0.tar/day/one.jpg``."""

    shard: Shard
    offset: int
    length: int

    @classmethod
    def of(cls, shard: Shard, name: str, offset: int, length: int) -> "Member":
        """The member of a shard that has this name and these bytes."""
        return cls.at(f"{shard.path}/{name}", shard, offset, length)

    @classmethod
    def at(cls, path: str, shard: Shard, offset: int, length: int) -> "Member":
        """The same, by its whole path."""
        member = cls(path)
        member.shard, member.offset, member.length = shard, offset, length
        return member

    def __reduce__(self) -> tuple[Any, ...]:
        return Member.at, (str(self), self.shard, self.offset, self.length)

    @property
    def inner_name(self) -> str:
        """The member's name in its archive."""
        return str(self)[len(self.shard.path) + 1 :]

    def open(self, *_: Any, **__: Any) -> io.BytesIO:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The whole content, to be read only.

        Raises:
            ValueError: If the archive has changed or ends within the file.
        """
        content = self.shard.read(self.offset, self.length)
        if len(content) != self.length:
            raise ValueError(f"{self}: the archive ends within it; copy or pack {self.shard.path} again")
        return io.BytesIO(content)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """The archive's, with the file's own length."""
        status = os.stat(self.shard.path)
        return os.stat_result((*status[:6], self.length, *status[7:10]))


class Members(Paths):
    """Members of archives in the order of their pictures' names; beyond a path's, each costs 16 bytes."""

    def __init__(self, names: Texts, members: Iterable[Member]) -> None:
        shards: dict[Shard, int] = {}
        columns = array("i"), array("q"), array("q")

        def noted() -> Iterator[Path]:
            for member in members:
                row = (shards.setdefault(member.shard, len(shards)), member.offset, member.length)
                for column, value in zip(columns, row, strict=True):
                    column.append(value)
                yield member

        super().__init__(names, noted())
        self.shards = list(shards)
        self._shard, self._offset, length = (np.array(column) for column in columns)
        self._length = length if length.max(initial=0) >= 2**32 else length.astype(np.uint32)

    def __getitem__(self, index: int) -> Member:
        shard = self.shards[self._shard[index]]
        return Member.at(self.text(index), shard, int(self._offset[index]), int(self._length[index]))

    def states(self) -> list[str]:
        """What changes with the archives and with the files' places in them."""
        now = [repr(Shard.at(shard.path)) for shard in self.shards]
        return [*now, *(column.tobytes().hex() for column in (self._shard, self._offset, self._length))]


def flat_paths(names: Texts, paths: Iterable[Path]) -> Paths:
    """The paths in little memory; either none or all of them are members of archives."""
    waiting = iter(paths)
    first = next(waiting, None)
    everything = () if first is None else _with(first, waiting)
    return Members(names, everything) if isinstance(first, Member) else Paths(names, everything)  # type: ignore[arg-type]


def _with(first: Path, others: Iterator[Path]) -> Iterator[Path]:
    yield first
    yield from others
