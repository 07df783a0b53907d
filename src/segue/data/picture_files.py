"""Picture files with or without label files: what all data sets on disk share."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from segue.classes import ClassList
from segue.data.class_map import LabelTable
from segue.data.dataset import Dataset, digest
from segue.data.decoding import picture_size, require_whole, size_complaint
from segue.data.label_file import GREY_LABELS, LabelReader
from segue.data.picture import read_image
from segue.progress import counting


class PictureFiles(Dataset):
    """Image files by name and, if the pictures are labelled, a label file for each.

    Args:
        labels: In the order of the images; empty for unlabelled pictures.
        table: What the label files' values mean; None for unlabelled pictures.

    Attributes:
        missing_classes: Training classes that no label value stands for: they will be absent.
        files: The image files by name.
    """

    missing_classes: tuple[str, ...]
    files: Mapping[str, Path]

    def __init__(
        self,
        images: Mapping[str, Path],
        *,
        classes: ClassList,
        labels: Sequence[Path] = (),
        table: LabelTable | None = None,
        reader: LabelReader = GREY_LABELS,
    ) -> None:
        self.classes = classes
        self.missing_classes = () if table is None else table.missing
        self.files = dict(images)
        self._names = list(images)
        self._images = list(images.values())
        self._labels = list(labels)
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
    def label_files(self) -> dict[str, Path]:
        """The label files by the names of their pictures; empty for unlabelled pictures."""
        return dict(zip(self._names, self._labels, strict=False))

    @property
    def table(self) -> LabelTable | None:
        """What the label files' values mean; None for unlabelled pictures."""
        return self._table

    def fingerprint(self) -> str:
        """Changes with the names, sizes and times of files, the class map and the training classes."""
        files = (path.stat() for path in (*self._images, *self._labels))
        parts = [*self._names, *self.classes.names, *(f"{file.st_size} {file.st_mtime_ns}" for file in files)]
        if self._table is not None:
            parts += [self._table.ids.tobytes().hex(), str(sorted(self._table.known))]
        return digest(parts)

    def check(self) -> None:
        """Look at every file, but not at its pixels: whole; a label of the right kind and of the image's size.

        Raises:
            ValueError: At the first file that is wrong.
        """
        with counting("checking files", len(self._images) + len(self._labels)) as done:
            self._check(done)

    def _check(self, done: Callable[[object], None]) -> None:
        for path in self._images:
            require_whole(path)
            done(path)
        for path in self._labels:
            require_whole(path)
        for image, label in zip(self._images, self._labels, strict=False):
            done(label)
            self._reader.require(label)
            size, label_size = picture_size(image), picture_size(label)
            if size != label_size:
                raise ValueError(size_complaint(image, label, size, label_size))
