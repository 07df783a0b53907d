"""Pictures in a folder, with or without labels: the data set that most people have."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from segue.classes import ClassList
from segue.data.class_map import LabelClasses, label_table, parse_label_classes, read_label_classes
from segue.data.dataset import Dataset, digest
from segue.data.layout import find_files, find_folder, pair
from segue.data.picture import picture_size, read_image, read_label, require_one_channel, require_whole

LABEL_FOLDERS = ("labels", "masks")


class ImageFolder(Dataset):
    """Pictures and labels in two folders, matched by name.

    Images lie in ``images/`` and labels in ``labels/`` or ``masks/``, each divided into splits or not
    (``images/train/...`` and ``train/images/...`` are both understood), with sub-folders as deep as wanted.
    Unlabelled pictures may also lie in a plain folder. Labels are grey or palette pictures of class values.

    Args:
        root: The data set's folder.
        classes: The training classes.
        labelled: Whether labels are looked for.
        split: Which part of the data set; None for all of it.
        label_classes: The names of the label values, in order, or the path of a class list file; if None the
            folder's own ``classes.json``, ``.yaml`` or ``.yml``, and without one the training classes.
        class_map: From own class names to training names or "ignore"; see label_table.
        image_folder: What the folder of images is called.
        label_folder: What the folder of labels is called; None for the usual names.
        image_suffix: What image names end in before their extension, over and above the picture's name.
        label_suffix: The same for labels.

    Attributes:
        missing_classes: Training classes that no label value stands for: they will be absent.

    Raises:
        ValueError: If a folder holds no picture; or, from the helpers, if something in it does not fit.
    """

    missing_classes: tuple[str, ...]

    def __init__(
        self,
        root: Path | str,
        *,
        classes: ClassList,
        labelled: bool,
        split: str | None = None,
        label_classes: Sequence[str] | Path | str | None = None,
        class_map: Mapping[str, str] | None = None,
        image_folder: str = "images",
        label_folder: str | None = None,
        image_suffix: str = "",
        label_suffix: str = "",
    ) -> None:
        root = Path(root).expanduser()
        self.classes = classes
        folder = find_folder(root, (image_folder,), split=split, plain=not labelled)
        images = find_files(folder, suffix=image_suffix)
        if not images:
            raise ValueError(f"{folder}: no picture here; jpg, png, bmp, tif and webp files are looked for")
        self._names = list(images)
        self._images = list(images.values())
        self._labels: list[Path] = []
        self.missing_classes = ()
        if not labelled:
            return
        own = _label_classes(root, label_classes, classes)
        self._table = label_table(own, classes, class_map or {})
        self.missing_classes = self._table.missing
        kinds = LABEL_FOLDERS if label_folder is None else (label_folder,)
        folder = find_folder(root, kinds, split=split, plain=False)
        self._labels = pair(images, find_files(folder, suffix=label_suffix), folder)

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        """The picture's path relative to the folder of images, without suffix and extension."""
        return self._names[index]

    def image(self, index: int) -> UInt8[Tensor, "3 h w"]:
        """The picture as RGB, upright."""
        return read_image(self._images[index])

    def label(self, index: int) -> UInt8[Tensor, "h w"]:
        """The picture's training ids.

        Args:
            index: The picture, from 0.

        Returns:
            As many rows and columns as the label file has.

        Raises:
            ValueError: If the data set was opened without labels, or the file holds what is no label.
        """
        if not self._labels:
            raise ValueError(
                f"{self._images[index]}: opened as an unlabelled picture, so its label is not read"
            )
        path = self._labels[index]
        return self._table.translate(read_label(path), str(path))

    def fingerprint(self) -> str:
        """Changes with the names, sizes and times of files, the class map and the training classes."""
        files = (path.stat() for path in (*self._images, *self._labels))
        parts = [*self._names, *self.classes.names, *(f"{file.st_size} {file.st_mtime_ns}" for file in files)]
        if self._labels:
            parts += [self._table.ids.tobytes().hex(), str(sorted(self._table.known))]
        return digest(parts)

    def check(self) -> None:
        """Look at every file, but not at its pixels: whole; a label of one channel and of the image's size.

        Raises:
            ValueError: At the first file that is not as it should be.
        """
        for path in (*self._images, *self._labels):
            require_whole(path)
        for image, label in zip(self._images, self._labels, strict=False):
            require_one_channel(label)
            (rows, columns), (label_rows, label_columns) = picture_size(image), picture_size(label)
            if (rows, columns) != (label_rows, label_columns):
                raise ValueError(
                    f"{label}: {label_columns}x{label_rows} pixels, but its image {image.name} has"
                    f" {columns}x{rows} (width x height): make them the same size"
                )


def _label_classes(root: Path, given: Sequence[str] | Path | str | None, training: ClassList) -> LabelClasses:
    if isinstance(given, str | Path):
        path = Path(given).expanduser()
        return read_label_classes(path if path.is_absolute() or path.exists() else root / path)
    if given is not None:
        return parse_label_classes(list(given), "the label classes")
    files = [root / f"classes{extension}" for extension in (".json", ".yaml", ".yml")]
    present = next((path for path in files if path.is_file()), None)
    if present is not None:
        return read_label_classes(present)
    return parse_label_classes(list(training.names), f"the training classes ({root} has no classes.json)")
