"""Pictures in a folder, with or without labels: the data set that most people have."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from segue.classes import ClassList
from segue.data.class_map import LabelClasses, label_table, parse_label_classes, read_label_classes
from segue.data.label_file import GREY_LABELS, colour_labels
from segue.data.layout import find_files, find_folder, pair
from segue.data.picture_files import PictureFiles

LABEL_FOLDERS = ("labels", "masks")


class ImageFolder(PictureFiles):
    """Pictures and labels in two folders, matched by name.

    Images lie in ``images/`` and labels in ``labels/`` or ``masks/``, each divided into splits or not
    (``images/train/...`` and ``train/images/...`` are both understood), with sub-folders as deep as wanted.
    Unlabelled pictures may also lie in a plain folder. Labels are grey or palette pictures of class values,
    or show each class in the colour that the class list file gives it.

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

    Raises:
        ValueError: If a folder holds no picture; or, from the helpers, if something in it does not fit.
    """

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
        folder = find_folder(root, (image_folder,), split=split, plain=not labelled)
        images = find_files(folder, suffix=image_suffix)
        if not images:
            raise ValueError(f"{folder}: no picture here; jpg, png, bmp, tif and webp files are looked for")
        if not labelled:
            super().__init__(images, classes=classes)
            return
        own = _label_classes(root, label_classes, classes)
        kinds = LABEL_FOLDERS if label_folder is None else (label_folder,)
        folder = find_folder(root, kinds, split=split, plain=False)
        labels = pair(images, find_files(folder, suffix=label_suffix), folder)
        super().__init__(
            images,
            classes=classes,
            labels=labels,
            table=label_table(own, classes, class_map or {}),
            reader=colour_labels(own.colours) if own.colours else GREY_LABELS,
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
