"""Pictures in a folder, with or without labels: the data set that most people have."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from segue.classes import ClassList
from segue.data.class_map import (
    LabelClasses,
    class_file,
    label_table,
    parse_label_classes,
    read_label_classes,
)
from segue.data.folder_files import find_files, find_folder, labels_of, require_one_split
from segue.data.label_file import GREY_LABELS, LabelReader, colour_labels
from segue.data.name_patterns import EVERY, NamePatterns
from segue.data.picture_files import PictureFiles
from segue.data.tars import Tars, find_tars
from segue.types import IGNORE

LABEL_FOLDERS = ("labels", "masks")


class ImageFolder(PictureFiles):
    """Pictures and labels in two folders, matched by name.

    Images lie in ``images/`` and labels in ``labels/`` or ``masks/``, each divided into splits or not
    (``images/train/...`` and ``train/images/...`` are both understood), with sub-folders of any depth.
    Unlabelled pictures may also lie in a plain folder. In place of a folder, the root may be tar archives, see
    :func:`segue.data.tars.find_tars`. Labels are grey or palette pictures of class values,
    or show each class in the colour that the class list file gives it.

    Args:
        split: Which part of the data set; None for all of it.
        label_classes: For a folder without a ``classes.json``, ``.yaml`` or ``.yml`` of its own: the names of the label
            values, in order, or the path of a class list file; None for the training classes.
        class_map: From own class names to training names or "ignore"; see label_table.
        map_place: Where that map is written, for messages.
        patterns: Which of the pictures are meant; the others need no label.
        label_suffix: What follows a picture's name in the name of its label: "_mask", "_labelIds"; in archives, one of
            ".label", ".seg" and ".mask" is found by itself.
        images: The folder of pictures, if it is called otherwise or lies outside of ``root``; it may hold the splits.
        labels: The same for labels.

    Raises:
        ValueError: If a folder holds no picture, a pattern fits none, or its own class list contradicts the given
            one; or, from the helpers, if something in it does not fit.
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
        map_place: str = "class_map",
        patterns: NamePatterns = EVERY,
        label_suffix: str = "",
        images: Path | None = None,
        labels: Path | None = None,
    ) -> None:
        root = Path(root).expanduser()
        tars = find_tars(root, split)
        if tars is not None:
            _require_no_folders(images, labels, tars.root)
            folder, found = tars.root, tars.pictures(label_suffix)
        else:
            folder = _folder(root, images, ("images",), split=split, plain=not labelled)
            if split is None and not patterns.include:
                require_one_split(folder)
            found = find_files(folder)
        if not found:
            raise ValueError(f"{folder}: no picture here; jpg, png, bmp, tif and webp files are looked for")
        chosen = patterns.chosen(found, folder)
        if not labelled:
            super().__init__(chosen, classes=classes)
            return
        own = folder_classes(root, label_classes, classes)
        there = find_labels(root, split=split, labels=labels, suffix=label_suffix, tars=tars)
        super().__init__(
            chosen,
            classes=classes,
            labels=labels_of(chosen, there.files, there.folder, suffix=there.suffix),
            table=label_table(own, classes, class_map or {}, place=map_place),
            reader=_reader(own),
        )


def _reader(own: LabelClasses) -> LabelReader:
    if not own.colours:
        return GREY_LABELS
    return colour_labels(
        own.colours, void=own.void, ignored=max(own.ignored - own.names.keys(), default=IGNORE)
    )


def _folder(
    root: Path, named: Path | None, kinds: tuple[str, ...], *, split: str | None, plain: bool
) -> Path:
    """The folder of one kind of file: the one that is named, or the one that is found."""
    if named is None:
        return find_folder(root, kinds, split=split, plain=plain)
    folder = root / named.expanduser() / (split or "")
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; give the folder of {kinds[0]}")
    return folder


class FoundLabels(NamedTuple):
    """Where labels lie, by the names of their pictures, and what follows these in the labels' names."""

    folder: Path
    files: Mapping[str, Path]
    suffix: str


def find_labels(
    root: Path, *, split: str | None, labels: Path | None = None, suffix: str = "", tars: Tars | None = None
) -> FoundLabels:
    """The labels of a folder or of archives; arguments are :class:`ImageFolder`'s.

    Args:
        tars: The archives, if they have been looked into.
    """
    tars = tars or find_tars(root, split)
    if tars is not None:
        _require_no_folders(None, labels, tars.root)
        found, inside = tars.labels(suffix)
        return FoundLabels(tars.root, inside, found)
    folder = _folder(root, labels, LABEL_FOLDERS, split=split, plain=False)
    return FoundLabels(folder, find_files(folder, suffix=suffix), suffix)


def _require_no_folders(images: Path | None, labels: Path | None, root: Path) -> None:
    named = images or labels
    if named is not None:
        raise ValueError(
            f"{root}: archives have no folder {named}; leave it out, and say how labels end with label_suffix"
        )


def folder_classes(root: Path, given: Sequence[str] | Path | str | None, training: ClassList) -> LabelClasses:
    """What the label values mean: by the folder's own list, else by the given one, else as the training classes."""
    listed, own = _given(root, given), class_file(root)
    if own is None:
        nowhere = f"the training classes ({root} has no classes.json)"
        return listed or parse_label_classes(list(training.names), nowhere)
    folders = read_label_classes(own)
    if listed is not None and listed.names != folders.names:
        value = min(v for v, _ in listed.names.items() ^ folders.names.items())
        mine, other = (f"{names.get(value, 'nothing')!r}" for names in (folders.names, listed.names))
        raise ValueError(
            f"{own}: label value {value} is {mine} here, but {other} in {listed.origin}: a folder's own list counts;"
            " leave the other one out, or mend this one"
        )
    return folders


def _given(root: Path, given: Sequence[str] | Path | str | None) -> LabelClasses | None:
    if given is None:
        return None
    if not isinstance(given, str | Path):
        return parse_label_classes(list(given), "label_classes")
    path = Path(given).expanduser()
    return read_label_classes(path if path.is_absolute() or path.exists() else root / path)
