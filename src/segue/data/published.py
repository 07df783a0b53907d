"""Opening the published data sets of street scenes: their own layout, their own label ids, one class for all."""

from collections.abc import Mapping
from pathlib import Path

from segue.classes import CITYSCAPES_19, ClassList, nearest
from segue.data.class_map import IGNORED, LabelClasses, LabelTable, label_table
from segue.data.folder_files import find_files
from segue.data.label_file import DEEP_LABELS, GREY_LABELS, LabelReader, colour_labels
from segue.data.name_patterns import EVERY, NamePatterns
from segue.data.picture_files import PictureFiles
from segue.data.published_layouts import LAYOUTS, Layout


def open_published(
    dataset: str,
    root: Path,
    *,
    classes: ClassList,
    labelled: bool,
    split: str | None = None,
    class_map: Mapping[str, str] | None = None,
    map_place: str = "class_map",
    patterns: NamePatterns = EVERY,
) -> PictureFiles:
    """Pictures of a published data set, unpacked as its authors packed it.

    Args:
        dataset: A name in LAYOUTS.
        root: Its folder.
        classes: The training classes.
        labelled: Whether labels are looked for; without it no label file or folder is touched.
        split: One of its splits; None if it has none.
        class_map: As :func:`published_table`.
        map_place: Where that map is written, for messages.
        patterns: Which of the pictures are meant.

    Returns:
        The data set.

    Raises:
        ValueError: If there is no such split, a folder holds nothing of the kind, a pattern fits no
            picture, or the class map does not fit.
        FileNotFoundError: If a folder is missing, an image has no label or a label no image.
    """
    layout = LAYOUTS[dataset]
    root = root.expanduser()
    folders = _folders(dataset, split)
    if not root.is_dir():
        raise FileNotFoundError(
            f"{root}: no such folder; {dataset} is looked for there, as {tree(layout)}; say where it is, with"
            " --set data.root=DIR for instance"
        )
    images = _found(root, dataset, layout.images, folders, layout.image_end)
    if not labelled:
        return PictureFiles(patterns.chosen(images, root), classes=classes)
    if split in layout.unlabelled:
        raise ValueError(
            f"{root}: {dataset} comes without labels of its split {split!r}; it can only be a target"
        )
    table = published_table(dataset, classes, class_map or {}, place=map_place)
    labels = _found(root, dataset, layout.labels, folders, layout.label_end)
    _require_pairs(images, labels, dataset)
    images = patterns.chosen(images, root)
    return PictureFiles(
        images,
        classes=classes,
        labels=map(labels.__getitem__, images),
        table=table,
        reader=_reader(layout),
    )


def published_table(
    dataset: str, classes: ClassList, class_map: Mapping[str, str], *, place: str = "class_map"
) -> LabelTable:
    """The training class of every label value of a published data set.

    A class of the data set goes where the map says; else to the training class of its own name; else to the
    Cityscapes class that it is by another name; else, if it is no Cityscapes class, it is ignored.

    Args:
        dataset: A name in LAYOUTS.
        classes: The training classes.
        class_map: From own class names to training names or "ignore"; "*" for the rest.
        place: Where that map is written, for messages.

    Returns:
        The translation.
    """
    layout = LAYOUTS[dataset]
    usual: dict[str, str] = {}
    for name in layout.names.values():
        goal = layout.class_map.get(name, name if name in CITYSCAPES_19.names else IGNORED)
        if name not in classes.names and (goal == IGNORED or goal in classes.names):
            usual[name] = goal
    own = LabelClasses(dict(layout.names), layout.ignored, declared=True, origin=dataset)
    return label_table(own, classes, {**usual, **class_map}, place=place)


def tree(layout: Layout) -> str:
    """A data set's files in words: ``leftImg8bit/SPLIT/.../*_leftImg8bit.png and gtFine/...``."""
    places = ((layout.images, layout.image_end), (layout.labels, layout.label_end))
    inner = "/..." if "/" in layout.example else ""
    return " and ".join(f"{folder.format(split='SPLIT')}{inner}/*{end}" for folder, end in places)


def _reader(layout: Layout) -> LabelReader:
    if layout.label_kind == "colour":
        return colour_labels(layout.colours)
    return DEEP_LABELS if layout.label_kind == "deep" else GREY_LABELS


def _folders(dataset: str, split: str | None) -> tuple[str, ...]:
    """What stands in the split's place in the names of folders."""
    splits = LAYOUTS[dataset].splits
    if not splits and split is not None:
        raise ValueError(f"{dataset} is not divided into splits: leave out split: {split}")
    if splits and split is None:
        raise ValueError(f"{dataset} is divided into {', '.join(splits)}: say which split")
    if split is not None and split not in splits:
        raise ValueError(f"{dataset} has no split {split!r}{nearest(split, list(splits))}")
    return ("",) if split is None else splits[split]


def _found(root: Path, dataset: str, pattern: str, folders: tuple[str, ...], end: str) -> dict[str, Path]:
    """Files by name; where a split has several folders, the folder is part of the name."""
    layout = LAYOUTS[dataset]
    found: dict[str, Path] = {}
    for folder in folders:
        place = root / pattern.format(split=folder)
        if not place.is_dir():
            there = ", ".join(sorted(entry.name for entry in root.iterdir())[:8])
            raise FileNotFoundError(
                f"{root}: not {dataset} as it is published: no folder {place.relative_to(root)}; expected"
                f" {tree(layout)}; there: {there or 'nothing'}"
            )
        inside = find_files(place, suffix=end.rpartition(".")[0])
        if not inside:
            raise ValueError(f"{place}: no file *{end} here; expected {tree(layout)}")
        several = len(folders) > 1
        found |= {f"{folder}/{name}" if several else name: path for name, path in inside.items()}
    return {name: path for name, path in found.items() if name not in layout.left_out}


def _require_pairs(images: Mapping[str, Path], labels: Mapping[str, Path], dataset: str) -> None:
    """Refuse a half-unpacked data set: images without labels, or labels without images."""
    for one, other, kind, lacking in (
        (images, labels, "images", "label"),
        (labels, images, "labels", "image"),
    ):
        lost = sorted(one.keys() - other.keys())
        if lost:
            raise FileNotFoundError(
                f"{one[lost[0]]}: it has no {lacking}, as {len(lost)} of {len(one)} {kind} have none: unpack all of"
                f" {dataset}, or remove what has no {lacking}"
            )
