"""A pair of two folders: what the options of ``segue train`` say about them, as settings."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from segue.classes import class_list
from segue.trees import Tree


class Folders(TypedDict, total=False):
    """What may be said about the two folders.

    Attributes:
        source: With ``images`` and ``labels``; None where the next two say where they are.
        source_images: Its folder of pictures, if it is called otherwise; relative to ``source``.
        source_labels: The same for its labels.
        label_suffix: What follows a source picture's name in that of its label: "_mask".
        target: A folder of pictures; labels are never read.
        classes: A YAML or JSON list of the classes to train, or their names; None for the source's own list.
        evaluation: A folder of labelled target pictures to score on; None for no score.
        source_split: Which part of the source, if it is divided; the same for the other two.
    """

    source: Path | None
    source_images: Path | None
    source_labels: Path | None
    label_suffix: str | None
    target: Path | None
    classes: Path | Sequence[str] | None
    evaluation: Path | None
    source_split: str | None
    target_split: str | None
    evaluation_split: str | None


def from_folders(folders: Folders) -> Tree:
    """A pair of two folders.

    Each folder's own ``classes.json`` or ``.yaml`` says what its label values mean; one without has the values of
    the class list that is trained on.

    Raises:
        FileNotFoundError: If there is no class list.
        ValueError: If the class list is not one, or source or target is missing.
    """
    from segue.data.class_map import CLASS_FILES, class_file, read_class_list  # it imports torch

    images, labels = folders.get("source_images"), folders.get("source_labels")
    source, target, evaluation = (folders.get(name) for name in ("source", "target", "evaluation"))
    if source is None and images is not None and labels is not None:
        images, labels = images.absolute(), labels.absolute()
        source = Path(os.path.commonpath([images, labels]))
    if source is None or target is None:
        raise ValueError(
            "say which domains: --pair NAME, --pair FILE.yaml, or --source DIR --target DIR --classes FILE"
        )
    listed = folders.get("classes") or class_file(source)
    if listed is None:
        raise FileNotFoundError(
            f"{source}: no class list here ({', '.join(CLASS_FILES)}); name one with --classes FILE"
        )
    known = read_class_list(listed) if isinstance(listed, Path) else class_list(listed)
    values = _plain(listed) if isinstance(listed, Path) else list(listed)

    def domain(folder: Path, **more: object) -> Tree:
        own = {} if class_file(folder) else {"label_classes": values}
        said = {key: str(value) for key, value in more.items() if value is not None}
        return {"dataset": "folder", "root": _plain(folder), **own, **said}

    data: Tree = {
        "pair": f"{_name(source)} to {_name(target)}",
        "classes": list(known.names),
        "colours": [list(colour) for colour in known.colours],
        "source": domain(
            source,
            split=folders.get("source_split"),
            images=images,
            labels=labels,
            label_suffix=folders.get("label_suffix"),
        ),
        "target": domain(target, split=folders.get("target_split")),
    }
    if evaluation is not None:
        data["evaluation"] = domain(evaluation, split=folders.get("evaluation_split"))
    return {"data": data}


def _plain(path: Path) -> str:
    """An absolute path without "..", which is the same from wherever the command is given."""
    return os.path.abspath(path.expanduser())


def _name(folder: Path) -> str:
    return Path(_plain(folder)).name
