"""Pictures that have one class each: folders called as classes, and lists of pictures with class numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from segue.classes import ClassList, nearest
from segue.data.class_map import LabelClasses, label_table
from segue.data.dataset import digest
from segue.data.folder_files import find_files
from segue.data.name_patterns import EVERY, NamePatterns
from segue.data.picture_files import PictureFiles
from segue.data.tars import Tars, find_tars
from segue.types import IGNORE

LIST_FOLDER = "image_list"


class WholePictures(PictureFiles):
    """Image files, each of one class; a label is a single cell.

    Args:
        ids: The training id of each picture, IGNORE for a class that is not trained; None for unlabelled pictures.
    """

    def __init__(self, images: Mapping[str, Path], *, classes: ClassList, ids: Sequence[int] | None) -> None:
        super().__init__(images, classes=classes)
        self.ids = ids

    def label(self, index: int) -> UInt8[Tensor, "1 1"]:
        """The picture's training id.

        Raises:
            ValueError: If the data set was opened without labels.
        """
        if self.ids is None:
            raise ValueError(f"{self.name(index)}: opened as an unlabelled picture, so its class is not read")
        return torch.tensor([[self.ids[index]]], dtype=torch.uint8)

    def fingerprint(self) -> str:
        """Changes with the files, the training classes and the pictures' classes."""
        return digest((super().fingerprint(), str(self.ids)))


def open_class_folders(
    root: Path,
    *,
    split: str | None = None,
    classes: ClassList,
    class_map: Mapping[str, str] | None = None,
    map_place: str = "class_map",
    labelled: bool,
    patterns: NamePatterns = EVERY,
) -> WholePictures:
    """Pictures in folders that are called as their classes.

    So Office-Home (``Art/Alarm_Clock``) and VisDA-2017 (``train/aeroplane``) lie. Of an unlabelled data set all
    pictures are taken, whatever their folders are called.

    Args:
        split: The folder inside ``root`` that holds the classes' folders; None if ``root`` does.
        class_map: From a folder's name to a training class or "ignore"; see
            :func:`segue.data.class_map.label_table`.
        map_place: Where that map is written, for messages.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If there is no picture, a picture lies in no class's folder, or a folder is called as no class.
    """
    root = root.expanduser()
    tars = find_tars(root, split)
    folder = _inside(root, split) if tars is None else tars.root
    found = find_files(folder) if tars is None else tars.pictures()
    if not found:
        raise ValueError(f"{folder}: no picture here; jpg, png, bmp, tif and webp files are looked for")
    chosen = patterns.chosen(found, folder)
    if not labelled:
        return WholePictures(chosen, classes=classes, ids=None)
    own = [name.partition("/")[0] for name in chosen]
    loose = next((name for name in chosen if "/" not in name), None)
    if loose is not None:
        raise ValueError(f"{chosen[loose]}: lies in no class's folder; move it to {folder}/CLASS")
    names = dict(enumerate(dict.fromkeys(own)))
    table = label_table(LabelClasses(names, origin=str(folder)), classes, class_map or {}, place=map_place)
    ids = {name: int(table.ids[value]) for value, name in names.items()}
    return WholePictures(chosen, classes=classes, ids=[ids[name] for name in own])


def open_image_list(
    root: Path,
    *,
    split: str | None = None,
    images: Path | None = None,
    labels: Path | None = None,
    classes: ClassList,
    labelled: bool,
    patterns: NamePatterns = EVERY,
) -> WholePictures:
    """Pictures that a text file lists, a path and the number of its class a line, as papers' codes pass them around.

    Numbers count the training classes from 0. Of an unlabelled data set the numbers are not read.

    Args:
        split: The list's name, without ``.txt``, in the folder ``image_list``; ``image_list.txt`` in the folder of that
            name (VisDA-2017's own) is found, too.
        images: The folder that paths are relative to; None for ``root``, or for the list's own folder if that is
            VisDA-2017's.
        labels: The list itself, if it lies elsewhere; relative to ``root``.

    Raises:
        FileNotFoundError: If there is no such list.
        ValueError: If a line is not a path and a class number, a path comes twice, or the list is empty.
    """
    root = root.expanduser()
    tars = find_tars(root, split)
    if tars is not None:
        return _with_class_files(tars, classes=classes, labelled=labelled, patterns=patterns)
    path, beside = _list_of(root, split, labels)
    folder = beside if images is None else root / images
    files: dict[str, Path] = {}
    numbers: list[int] = []
    for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not text.strip():
            continue
        # Paths may hold spaces ("Real World/..."): the number is what follows the last one.
        place, _, number = text.strip().rpartition(" ")
        if not (place and number.isdecimal()):
            place, number = text.strip(), ""
        if labelled and not number:
            raise ValueError(
                f"{path}, line {line}: {text.strip()!r} has no class number at its end; write PATH NUMBER"
            )
        if labelled and int(number) >= len(classes):
            raise ValueError(
                f"{path}, line {line}: class number {number}, but the {len(classes)} training classes are numbered from"
                " 0; list all of them, in the order of the list's numbers"
            )
        name = Path(place).with_suffix("").as_posix()
        if name in files:
            raise ValueError(f"{path}, line {line}: {place} was listed before; remove one of the two lines")
        files[name] = folder / place
        numbers.append(int(number) if labelled else IGNORE)
    if not files:
        raise ValueError(f"{path}: lists no picture; write PATH NUMBER, one picture a line")
    missing = next((file for file in files.values() if not file.is_file()), None)
    if missing is not None:
        raise FileNotFoundError(
            f"{missing}: no such picture, but {path.name} lists it; images=DIR says what its paths are relative to"
        )
    chosen = patterns.chosen(files, path)
    ids = [number for name, number in zip(files, numbers, strict=True) if name in chosen]
    return WholePictures(chosen, classes=classes, ids=ids if labelled else None)


def _with_class_files(
    tars: Tars, *, classes: ClassList, labelled: bool, patterns: NamePatterns
) -> WholePictures:
    """Pictures in archives, with a file of a class number each."""
    chosen = patterns.chosen(tars.pictures(), tars.root)
    if not labelled:
        return WholePictures(chosen, classes=classes, ids=None)
    files, ids = tars.classes(), list[int]()
    for name, picture in chosen.items():
        if name not in files:
            raise FileNotFoundError(f"{picture}: no class file {name}.cls beside it; pack it, too")
        text = files[name].read_bytes().decode(errors="replace").strip()
        if not text.isdecimal() or int(text) >= len(classes):
            raise ValueError(
                f"{files[name]}: {text[:20]!r} is no class number; the {len(classes)} training classes are numbered"
                " from 0; list all of them, in the order of the numbers"
            )
        ids.append(int(text))
    return WholePictures(chosen, classes=classes, ids=ids)


def _list_of(root: Path, split: str | None, labels: Path | None) -> tuple[Path, Path]:
    """The list, and the folder that its paths are relative to unless settings say otherwise."""
    if labels is not None:
        places = [(root / labels, root)]
    elif split is not None:
        visda = root / split
        places = [(root / LIST_FOLDER / f"{split}.txt", root), (visda / f"{LIST_FOLDER}.txt", visda)]
    else:
        places = [(root / f"{LIST_FOLDER}.txt", root)]
    for path, folder in places:
        if path.is_file():
            return path, folder
    lists = sorted(path.stem for path in (root / LIST_FOLDER).glob("*.txt"))
    known = nearest(split, lists) if split and lists else ""
    raise FileNotFoundError(f"{places[0][0]}: no such list of pictures{known}; name it with split or labels")


def _inside(root: Path, split: str | None) -> Path:
    folder = root if split is None else root / split
    if folder.is_dir():
        return folder
    there = sorted(entry.name for entry in root.iterdir() if entry.is_dir()) if root.is_dir() else []
    known = nearest(split, there) if split and there else "; give the data set's folder"
    raise FileNotFoundError(f"{folder}: no such folder{known}")
