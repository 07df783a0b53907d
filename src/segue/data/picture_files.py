"""Picture files with or without label files: what all data sets on disk share."""

import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from jaxtyping import UInt8
from torch import Tensor

from segue.classes import ClassList
from segue.data.checked import REMEMBERED, note_checked, was_checked
from segue.data.class_map import LabelTable
from segue.data.dataset import Dataset, digest
from segue.data.decoding import picture_size, require_whole, size_complaint
from segue.data.file_names import Texts
from segue.data.label_file import GREY_LABELS, LabelReader
from segue.data.picture import read_image, read_reduced
from segue.data.tar_member import Members, flat_paths
from segue.progress import counting

VERSION = 1
"""Of what :meth:`PictureFiles.check` looks for: another number, and everything is looked at again."""

THREADS = 8
"""Files that are asked for at once: waiting for a disk costs no core."""

TOGETHER = 64
"""Files that a thread takes at a time."""

Result = TypeVar("Result")


class PictureFiles(Dataset):
    """Image files by name and, if the pictures are labelled, a label file for each.

    Args:
        labels: In the order of the images; empty for unlabelled pictures.
        table: What the label files' values mean; None for unlabelled pictures.
    """

    def __init__(
        self,
        images: Mapping[str, Path],
        *,
        classes: ClassList,
        labels: Iterable[Path] = (),
        table: LabelTable | None = None,
        reader: LabelReader = GREY_LABELS,
    ) -> None:
        self.classes = classes
        self._names = Texts(images)
        self._images = flat_paths(self._names, images.values())
        self._labels = () if table is None else flat_paths(self._names, labels)
        self._table = table
        self._reader = reader

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        """The picture's path relative to the folder of images, without suffix and extension."""
        return self._names[index]

    def size(self, index: int) -> tuple[int, int]:
        """The picture's rows and columns, from its header."""
        return picture_size(self._images[index])

    def image(self, index: int) -> UInt8[Tensor, "3 h w"]:
        """The picture as RGB, upright."""
        return read_image(self._images[index])

    def reduced(self, index: int, box: tuple[int, int]) -> tuple[UInt8[Tensor, "3 h w"], tuple[int, int]]:
        """JPEG files can be decoded at less than their size."""
        return read_reduced(self._images[index], box)

    def label(self, index: int) -> UInt8[Tensor, "h w"]:
        """The picture's training ids.

        Raises:
            ValueError: If the data set was opened without labels, or the file does not hold a label.
        """
        if self._table is None:
            raise ValueError(
                f"{self._images[index]}: opened as an unlabelled picture, so its label is not read"
            )
        path = self._labels[index]
        return self._table.translate(self._reader.read(path), str(path))

    @property
    def files(self) -> dict[str, Path]:
        """The image files by name."""
        return dict(zip(self._names, self._images, strict=True))

    @property
    def label_files(self) -> dict[str, Path]:
        """The label files by the names of their pictures; empty for unlabelled pictures."""
        return dict(zip(self._names, self._labels, strict=False))

    @property
    def table(self) -> LabelTable | None:
        """What the label files' values mean; None for unlabelled pictures."""
        return self._table

    def fingerprint(self) -> str:
        """Changes with the names, sizes and times of files, the class map and the training classes."""
        parts = [*self._names, *self.classes.names]
        for paths in (self._images, self._labels):
            if isinstance(paths, Members):
                parts += paths.states()
            else:
                parts += in_threads(lambda place, paths=paths: _state(paths[place]), len(paths))
        if self._table is not None:
            parts += [self._table.ids.tobytes().hex(), str(sorted(self._table.known))]
        return digest(parts)

    def check(self) -> None:
        """Look at every file, but not at its pixels: whole; a label of the right kind and of the image's size.

        A large data set that has not changed since it was found in order is not looked at again.

        Raises:
            ValueError: At the first file that is wrong.
        """
        # The fingerprint is taken first: what changes while files are looked at counts as not looked at.
        key = self._check_key() if len(self._images) + len(self._labels) >= REMEMBERED else None
        if key is not None and was_checked(key):
            return
        with counting("checking files", len(self)) as done:
            for place in in_threads(self._check, len(self)):
                done(place)
        if key is not None:
            note_checked(key)

    def _check_key(self) -> str:
        return digest((self.fingerprint(), str(VERSION), pickle.dumps(self._reader).hex()))

    def _check(self, index: int) -> None:
        image = self._images[index]
        size = require_whole(image)
        if not self._labels:
            return
        label = self._labels[index]
        label_size = require_whole(label)
        self._reader.require(label)
        if size != label_size:
            raise ValueError(size_complaint(image, label, size, label_size))


def _state(path: Path) -> str:
    status = os.stat(path)
    return f"{status.st_size} {status.st_mtime_ns}"


def in_threads(task: Callable[[int], Result], count: int) -> Iterator[Result]:
    """The results of ``task(0)`` to ``task(count - 1)``, in order; disks, far ones above all, are asked at once."""

    def some(start: int) -> list[Result]:
        return [task(index) for index in range(start, min(start + TOGETHER, count))]

    pool = ThreadPoolExecutor(THREADS)
    try:
        for results in pool.map(some, range(0, count, TOGETHER)):
            yield from results
    finally:
        pool.shutdown(cancel_futures=True)
