"""Finding the pictures of a folder and the labels that belong to them."""

import os
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from segue.classes import nearest
from segue.data.decoding import EXTENSIONS
from segue.data.tars import find_tars

SPLITS = frozenset({"train", "training", "trainval", "val", "valid", "validation", "dev", "test", "testing"})
"""What the folders of splits are called, in lower case."""

SAY_SPLIT = (
    "say which split with --source-split, --target-split or --evaluation-split, data.source.split=NAME in a pair,"
    " --split for `segue evaluate`"
)


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
        raise FileNotFoundError(f"{root}: it is divided into {', '.join(splits)}: {SAY_SPLIT}")
    looked = " or ".join(str(place.relative_to(root)) for place in places)
    hint = nearest(split, splits) if split and splits else f"; there: {', '.join(there[:8]) or 'no folder'}"
    raise FileNotFoundError(f"{root}: no folder {looked}{hint}")


def require_one_split(folder: Path) -> None:
    """Raise ``ValueError`` if a folder of pictures is divided into splits: nobody means to train on all of them.

    Only sub-folders that are called as splits usually are count; others, such as cities, divide nothing.
    """
    inside = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    splits = [name for name in inside if name.lower() in SPLITS]
    if len(splits) > 1:
        raise ValueError(
            f"{folder}: it is divided into {', '.join(splits)}: {SAY_SPLIT} (for all of them, the setting"
            " include=['*'])"
        )


class Found(Mapping[str, Path]):
    """Files by name, in order; a path is made when it is asked for, as an object for each of a million takes long."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __getitem__(self, name: str) -> Path:
        return Path(self._paths[name])


def find_files(folder: Path, *, suffix: str = "") -> Found:
    """Every picture file under a folder and its sub-folders, in order of name; hidden ones are passed over.

    Args:
        suffix: What a file's name, without extension, must end in; it is not part of the picture's name.

    Returns:
        From the path relative to the folder, without suffix and extension, to the file.

    Raises:
        ValueError: If two files differ only in their extension, or something called as a picture is no file.
    """
    paths: dict[str, str] = {}
    start = len(os.path.join(folder, ""))
    # On strings, as paths take ten times longer to take apart, which counts where there are a million.
    for path in _pictures_below(folder):
        stem = os.path.splitext(path)[0]
        if not stem.endswith(suffix):
            continue
        name = stem[start:].removesuffix(suffix).replace(os.sep, "/")
        if name in paths:
            other = os.path.basename(paths[name])
            raise ValueError(f"{path}: {other} has the same name but for its end; remove one")
        paths[name] = path
    return Found({name: paths[name] for name in sorted(paths)})


def _pictures_below(folder: Path) -> Iterator[str]:
    """Files that are called as pictures; links are followed, but not back to a folder on the way to them."""
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [(str(folder), frozenset())]
    while waiting:
        place, above = waiting.pop()
        status = os.stat(place)
        own = (status.st_dev, status.st_ino)
        if own in above:
            continue
        with os.scandir(place) as entries:
            seen = [entry for entry in entries if not entry.name.startswith(".")]
        waiting += [(entry.path, above | {own}) for entry in seen if entry.is_dir()]
        for entry in seen:
            if os.path.splitext(entry.name)[1].lower() not in EXTENSIONS or entry.is_dir():
                continue
            # A link to nothing is named when it is opened; reading a pipe would wait for ever.
            if not entry.is_file() and not entry.is_symlink():
                raise ValueError(f"{entry.path}: called as a picture, but not a file; remove it")
            yield entry.path


def find_pictures(pictures: Path, out: Path | None = None) -> dict[str, Path]:
    """Picture files by name, of a folder, of tar archives or of one picture alone.

    Args:
        pictures: One of them.
        out: Where predictions of them are written; what is below it is no picture.

    Raises:
        FileNotFoundError: If there is no such folder or picture.
        ValueError: If there is no picture, or predictions would be written between them.
    """
    tars = find_tars(pictures)
    if tars is not None:
        return dict(tars.pictures())
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


def labels_of(
    images: Mapping[str, Path], labels: Mapping[str, Path], folder: Path, *, suffix: str = ""
) -> Iterable[Path]:
    """The label of every image, by relative name, in the order of the images; further labels are passed over.

    Args:
        folder: Where labels were looked for, for messages.
        suffix: What follows the image's name in that of its label, for messages.

    Raises:
        FileNotFoundError: If an image has no label.
    """
    lost = [name for name in images if name not in labels]
    if lost:
        hint = _nearest_label(lost[0], labels)
        raise FileNotFoundError(
            f"{images[lost[0]]}: no label {folder / lost[0]}{suffix}.png{hint}; {len(lost)} of {len(images)} images"
            " have none: add the labels or remove the images"
        )
    return map(labels.__getitem__, images)


def _nearest_label(name: str, labels: Mapping[str, Path]) -> str:
    """What to say of an image without a label: a suffix that its label's name may have, or the nearest label."""
    longer = min((other for other in labels if other.startswith(name)), key=len, default=None)
    if longer is not None:
        suffix = longer.removeprefix(name)
        return (
            f" (near: {labels[longer].name}; if the labels' names end in {suffix}, say --label-suffix {suffix}, or"
            f" label_suffix: {suffix} in that domain's settings)"
        )
    near = get_close_matches(name, list(labels)[:2000], n=1)
    return f" (near: {labels[near[0]].name})" if near else ""


def _splits(root: Path, kinds: tuple[str, ...], there: list[str]) -> set[str]:
    """The names of the data set's splits, as SPLIT/KIND or as KIND/SPLIT."""
    outside = {name for name in there for kind in kinds if (root / name / kind).is_dir()}
    parents = [root / kind for kind in kinds if kind in there]
    return outside | {entry.name for parent in parents for entry in parent.iterdir() if entry.is_dir()}
