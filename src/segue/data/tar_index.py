"""What is in tar archives and where, from their headers; what was found in large ones is remembered."""

import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segue.data.checked import REMEMBERED, cache_folder
from segue.data.decoding import EXTENSIONS
from segue.data.tar_member import Member, Shard
from segue.files import write_bytes
from segue.progress import counting

VERSION = 1
"""Of what is remembered: another number, and archives are looked into again."""

CLASS = ".cls"
"""How the files end that hold the number of a picture's class."""

THREADS = 8
"""Archives that are looked into at once, which saves waiting for a disk."""

PACKED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}
"""What compressed files begin with, and what unpacks them."""

AFTER = 2**20
"""So many bytes after an archive's end are looked at for another archive; more only pad it."""


class RefusedError(ValueError):
    """A member that is not taken, for a reason that says what to do."""


@dataclass(frozen=True)
class Index:
    """The pictures and classes in an archive: their names, and where their bytes begin and how many they are."""

    shard: Shard
    names: Sequence[str]
    offsets: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def member(self, row: int) -> Member:
        """One of them."""
        return Member.of(self.shard, self.names[row], int(self.offsets[row]), int(self.lengths[row]))


def index_all(paths: Sequence[str]) -> list[Index]:
    """The indices of archives, in their order; those already known are not opened.

    Raises:
        ValueError: If one is no archive of plain files that can be read from any place.
        OSError: If one cannot be read.
    """
    with ThreadPoolExecutor(THREADS) as pool, counting("looking into archives", len(paths)) as done:
        found: list[tuple[Index, bool]] = []
        for one in pool.map(_known_or_read, paths):
            found.append(one)
            done(one)
    if sum(len(index) for index, _ in found) >= REMEMBERED:
        for index in (index for index, known in found if not known):
            with suppress(OSError):
                write_bytes(_place(index.shard), _packed(index))
    return [index for index, _ in found]


def read_index(shard: Shard) -> Index:
    """Go through an archive's headers.

    Directories, hidden files and files that are neither pictures nor classes are passed over.

    Raises:
        ValueError: If it is compressed, cut off, damaged or no archive, or if a picture in it is a link, is stored
            with holes or has a name that leads elsewhere.
    """
    with open(shard.path, "rb") as file:
        start = file.read(8)
        tool = next((tool for begin, tool in PACKED.items() if start.startswith(begin)), None)
        if tool is not None:
            raise ValueError(
                f"{shard.path}: compressed, so that no picture can be read without all before it; unpack it with"
                f" `{tool}` (pictures are compressed already)"
            )
        file.seek(0)
        rows = list(_rows(file, shard))
    names, offsets, lengths = zip(*rows, strict=True) if rows else ((), (), ())
    return Index(shard, names, np.array(offsets, np.int64), np.array(lengths, np.int64))


def _rows(file: io.BufferedReader, shard: Shard) -> Iterator[tuple[str, int, int]]:
    with _explained(shard.path), tarfile.open(fileobj=file, mode="r:") as archive:
        archive.offset = 0
        # Not by iterating, which keeps a kilobyte for each member, and takes what is no header for the end.
        while not _is_end(file, archive.offset):
            file.seek(archive.offset)
            start, member = archive.offset, tarfile.TarInfo.fromtarfile(archive)
            if archive.offset <= start:
                raise tarfile.ReadError("a header of impossible size")
            if archive.offset > shard.size:
                raise tarfile.ReadError(f"it ends within {member.name}")
            name = _wanted(member)
            if name is not None:
                yield name, member.offset_data, member.size


def _is_end(file: io.BufferedReader, offset: int) -> bool:
    """Whether an archive's end mark is here.

    Raises:
        ReadError: If the file ends without one, or another archive follows, which would be lost without a word.
    """
    file.seek(offset)
    block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("it has no end mark")
    if any(block):
        return False
    if file.read(AFTER).strip(b"\0"):
        raise tarfile.ReadError(f"something follows its end mark at byte {offset}")
    return True


@contextmanager
def _explained(path: str) -> Generator[None]:
    """Within, what tarfile says of a file that is no archive is said with the file and the remedy."""
    try:
        yield
    except RefusedError as error:
        raise ValueError(f"{path}: {error}") from None
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
        raise ValueError(
            f"{path}: not readable as a tar archive ({error}); it is damaged or cut off, or none: copy or pack it"
            " again"
        ) from error


def _wanted(member: tarfile.TarInfo) -> str | None:
    """The name of a picture or class, without ``./``; None for what is passed over."""
    parts = [part for part in member.name.split("/") if part != "."]
    name = "/".join(parts)
    is_hidden = any(part.startswith(".") and part != ".." for part in parts)
    if member.isdir() or is_hidden or os.path.splitext(name)[1].lower() not in {*EXTENSIONS, CLASS}:
        return None
    if not {"..", ""}.isdisjoint(parts) or not {"\\", "\0"}.isdisjoint(name):
        raise RefusedError(
            f"{name!r} is a name that leads out of the archive; pack it again with names such as 'day/one.jpg'"
        )
    if not member.isreg() or member.issparse():
        kind = "stored with holes (sparse)" if member.issparse() else "a link or no file"
        raise RefusedError(
            f"{name} is {kind}; pack it again as a plain file (GNU tar: with --dereference"
            " --hard-dereference, without --sparse)"
        )
    return name


def _known_or_read(path: str) -> tuple[Index, bool]:
    """An archive's index, and whether it was known."""
    shard = Shard.at(path)
    try:
        with np.load(io.BytesIO(_place(shard).read_bytes()), allow_pickle=False) as kept:
            names, offsets, lengths = kept["names"].tobytes(), kept["offsets"], kept["lengths"]
        texts = [os.fsdecode(name) for name in names.split(b"\0") if name]
        if len(texts) == len(offsets) == len(lengths):
            return Index(shard, texts, offsets, lengths), True
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass  # not there, or damaged: both only mean to look again
    return read_index(shard), False


def _place(shard: Shard) -> Path:
    state = f"{VERSION} {shard.size} {shard.time} {os.path.abspath(shard.path)}"
    key = hashlib.sha256(os.fsencode(state)).hexdigest()[:32]
    return cache_folder() / "archives" / f"{key}.npz"


def _packed(index: Index) -> bytes:
    names = np.frombuffer(b"\0".join(map(os.fsencode, index.names)), np.uint8)
    content = io.BytesIO()
    np.savez(content, names=names, offsets=index.offsets, lengths=index.lengths)
    return content.getvalue()
