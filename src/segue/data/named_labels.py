"""Label files found by their pictures' names: somebody's predictions, or pseudo-labels of an earlier stage."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from segue.classes import ClassList
from segue.data.class_map import (
    LabelTable,
    class_file,
    label_table,
    parse_label_classes,
    read_class_list,
    read_label_classes,
)  # fmt: skip
from segue.data.dataset import digest
from segue.data.decoding import read_label
from segue.data.file_names import FilesByName
from segue.data.folder import LABEL_FOLDERS
from segue.data.folder_files import find_files


@dataclass(frozen=True)
class NamedLabels:
    """Label PNGs by picture.

    Attributes:
        origin: What messages call them.
    """

    files: Mapping[str, Path]
    table: LabelTable
    origin: str

    def __call__(self, picture: str) -> UInt8[Tensor, "h w"]:
        """The label of a picture, in training classes.

        Raises:
            ValueError: If there is none, or it holds a value that is not a class.
        """
        if picture not in self.files:
            raise ValueError(f"{self.origin}: no label of picture {picture!r}")
        path = self.files[picture]
        return self.table.translate(read_label(path), str(path))

    def fingerprint(self) -> str:
        """Changes with the names, sizes and times of the files."""
        files = [(name, path.stat()) for name, path in self.files.items()]
        return digest(f"{name} {file.st_size} {file.st_mtime_ns}" for name, file in files)


def open_named_labels(
    folder: Path, classes: ClassList, class_map: Mapping[str, str], *, origin: str, place: str | None = None
) -> NamedLabels:
    """The labels of a folder that says which classes its numbers are.

    Args:
        folder: PNG files, in ``index/`` or as they are, and a class list as :func:`labels_class_file` finds it.
        class_map: From own class names to training names or "ignore".
        origin: What messages call the labels.
        place: Where their class map is written, for messages.

    Raises:
        FileNotFoundError: If the folder or its class list is missing.
        ValueError: If a class has no counterpart and the map does not cover it.
    """
    own = read_label_classes(_class_file(folder, origin))
    table = label_table(own, classes, class_map, place=place or f"the class map of {origin}")
    index = folder / "index"
    files = FilesByName(find_files(index if index.is_dir() else folder))
    return NamedLabels(files, table, origin)


def own_classes(folder: Path, origin: str) -> ClassList:
    """The class list of a folder of labels, in the order of their numbers.

    Raises:
        FileNotFoundError: If it has none.
    """
    return read_class_list(_class_file(folder, origin))


def own_table(own: ClassList, classes: ClassList, class_map: Mapping[str, str], origin: str) -> LabelTable:
    """How positions in a class list translate to the training classes.

    Raises:
        ValueError: If a class has no counterpart and the map does not cover it.
    """
    listed = parse_label_classes(list(own.names), origin)
    return label_table(listed, classes, class_map, place=f"the class map of {origin}")


def labels_class_file(folder: Path) -> Path | None:
    """The class list of a folder of labels: its own, or that of the data set whose labels they are.

    A data set's labels are ``DIR/labels``, ``DIR/labels/SPLIT`` or ``DIR/SPLIT/labels`` (or ``masks``); what ``segue
    label`` wrote is ``DIR/index``. None if there is none.
    """
    place = folder.absolute()
    above = [place]
    if place.name in LABEL_FOLDERS:
        above += [place.parent, place.parent.parent]
    elif place.parent.name in LABEL_FOLDERS:
        above += [place.parent.parent]
    elif place.name == "index":
        above += [place.parent]
    return next((file for folder in above if (file := class_file(folder)) is not None), None)


def _class_file(folder: Path, origin: str) -> Path:
    path = labels_class_file(folder)
    if path is None:
        raise FileNotFoundError(f"{origin}: {folder} has no classes.json that names its class numbers")
    return path
