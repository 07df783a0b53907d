"""Finding the pictures of a folder and the labels that belong to them."""

import os
from difflib import get_close_matches
from pathlib import Path

from segue.classes import nearest
from segue.data.decoding import EXTENSIONS


def find_folder(root: Path, kinds: tuple[str, ...], *, split: str | None, plain: bool) -> Path:
    """The folder that holds one kind of file of a data set.

    Looked for as KIND/SPLIT, then SPLIT/KIND, or KIND where no split is asked for; a plain folder of pictures
    is its own.

    Args:
        kinds: Names that the folder may have, the most usual one first.
        split: Which part of the data set; None for all of it.
        plain: Whether the root itself, or its sub-folder for the split, may hold the pictures.

    Raises:
        FileNotFoundError: If there is none; the message says what was looked for and what is there.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; give the data set's folder")
    places = [root / kind if split is None else root / kind / split for kind in kinds]
    places += [] if split is None else [root / split / kind for kind in kinds]
    folder = next((place for place in places if place.is_dir()), None)
    if folder is not None:
        return folder
    there = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
    splits = sorted(_splits(root, kinds, there))
    own = root if split is None else root / split
    if plain and own.is_dir() and not (splits and split is None):
        return own
    if split is None and splits:
        raise FileNotFoundError(f"{root}: it is divided into {', '.join(splits)}: say which split")
    looked = " or ".join(str(place.relative_to(root)) for place in places)
    hint = nearest(split, splits) if split and splits else f"; there: {', '.join(there[:8]) or 'no folder'}"
    raise FileNotFoundError(f"{root}: no folder {looked}{hint}")


def find_files(folder: Path, *, suffix: str = "") -> dict[str, Path]:
    """Every picture file under a folder and its sub-folders, in order of name; hidden ones are passed over.

    Args:
        suffix: What a file's name, without extension, must end in; it is not part of the picture's name.

    Returns:
        From the path relative to the folder, without suffix and extension, to the file.

    Raises:
        ValueError: If two files differ only in their extension.
    """
    paths: dict[str, Path] = {}
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in files:
            stem, extension = os.path.splitext(file)
            if extension.lower() not in EXTENSIONS or file.startswith(".") or not stem.endswith(suffix):
                continue
            path = Path(parent, file)
            name = (path.parent / stem.removesuffix(suffix)).relative_to(folder).as_posix()
            if name in paths:
                raise ValueError(f"{path}: {paths[name].name} has the same name but for its end; remove one")
            paths[name] = path
    return dict(sorted(paths.items()))


def find_pictures(pictures: Path, out: Path | None = None) -> dict[str, Path]:
    """Picture files by name, of a folder or of one picture alone.

    Args:
        pictures: Either of them.
        out: Where predictions of them are written; what is below it is no picture.

    Raises:
        FileNotFoundError: If there is no such folder or picture.
        ValueError: If there is no picture, or predictions would be written between them.
    """
    if pictures.is_file():
        return {pictures.stem: pictures}
    if not pictures.is_dir():
        raise FileNotFoundError(f"{pictures}: no such folder or picture")
    own = None if out is None else out.resolve()
    if own == pictures.resolve():
        raise ValueError(f"--out {out}: choose another folder than that of the pictures")
    files = {name: path for name, path in find_files(pictures).items() if own not in path.resolve().parents}
    if not files:
        raise ValueError(f"{pictures}: no picture here; jpg, png, bmp, tif and webp files are looked for")
    return files


def labels_of(images: dict[str, Path], labels: dict[str, Path], folder: Path) -> list[Path]:
    """The label of every image, by relative name, in the order of the images; further labels are passed over.

    Args:
        folder: Where labels were looked for, for messages.

    Raises:
        FileNotFoundError: If an image has no label.
    """
    lost = [name for name in images if name not in labels]
    if lost:
        near = get_close_matches(lost[0], list(labels)[:2000], n=1)
        hint = f" (near: {labels[near[0]].name})" if near else ""
        raise FileNotFoundError(
            f"{images[lost[0]]}: no label {folder / lost[0]}.png{hint}; {len(lost)} of {len(images)} images"
            " have none: add the labels or remove the images"
        )
    return [labels[name] for name in images]


def _splits(root: Path, kinds: tuple[str, ...], there: list[str]) -> set[str]:
    """The names of the data set's splits, as SPLIT/KIND or as KIND/SPLIT."""
    outside = {name for name in there for kind in kinds if (root / name / kind).is_dir()}
    parents = [root / kind for kind in kinds if kind in there]
    return outside | {entry.name for parent in parents for entry in parent.iterdir() if entry.is_dir()}
