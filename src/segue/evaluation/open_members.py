"""Opening members of every kind, so that their classes and pictures fit together."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segue.classes import ClassList
from segue.data.folder_files import find_files
from segue.data.named_labels import (
    NamedLabels,
    labels_class_file,
    open_named_labels,
    own_classes,
    own_table,
)  # fmt: skip
from segue.evaluation.members import FolderMember, Member, ModelMember, OpenedMembers
from segue.evaluation.model import Model, TrainedModel
from segue.evaluation.onnx_model import OnnxModel


def open_members(
    paths: Mapping[str, Path],
    *,
    pictures: Mapping[str, Any],
    read: Callable[[Any], Tensor],
    classes: ClassList | None,
    maps: Mapping[str, Mapping[str, str]],
    device: torch.device,
) -> OpenedMembers:
    """Open members of every kind.

    Args:
        paths: Run or model folders, ONNX files or folders of PNGs, by member.
        pictures: Files, or indices in a data set, by name, for members that predict; ``read`` opens one.
        classes: The fused classes; None for the first member's.

    Raises:
        ValueError: If a path is not a member, a member has other pictures than the others, or a class has no
            counterpart.
        FileNotFoundError: If a path does not exist.
    """
    unknown = [name for name in maps if name not in paths]
    if unknown:
        raise ValueError(f"class map of {unknown[0]}: no such member; there are {', '.join(paths)}")
    fused = classes
    members: list[Member] = []
    for name, path in paths.items():
        model = _model(name, path, device)
        origin, own_map = f"member {name}", maps.get(name, {})
        own = own_classes(path, origin) if model is None else model.classes
        fused = fused or own
        if model is None:
            soft = path / "soft" if (path / "soft").is_dir() else None
            labels = open_named_labels(path, fused, own_map, origin=origin)
            table = own_table(own, fused, own_map, origin)
            members.append(FolderMember(name, labels, soft, table, len(fused)))
        elif not pictures:
            raise ValueError(f"member {name} predicts: name the folder of pictures with --pictures DIR")
        else:
            table = own_table(own, fused, own_map, origin)
            members.append(ModelMember(name, model, pictures, read, table, len(fused)))
    assert fused is not None, "there is a member"
    return OpenedMembers(members, fused, _common(members, pictures))


def student_certainty(folder: Path, classes: ClassList) -> list[float | None]:
    """The mean confidence, for each class, of the student that made a folder of labels.

    Raises:
        FileNotFoundError: If the folder holds no statistics.
        ValueError: If they are damaged, of other classes, or only of pixels that passed a threshold: a student that
            labels only what it is sure of would always be believed.
    """
    path = folder / "statistics.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; `segue label` writes it when every picture is labelled"
        )
    made = folder / "made.json"
    how: dict[str, Any] = json.loads(made.read_text(encoding="utf-8")) if made.is_file() else {}
    if how.get("threshold") or how.get("portion") is not None:
        raise ValueError(
            f"{folder}: these labels leave out what their model is unsure of; label again without --threshold and"
            " --portion"
        )
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["classes"]
        certainty = {name: content[name]["certainty"] for name in content}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not what `segue label` writes ({error!r})") from None
    if list(certainty) != list(classes.names):
        raise ValueError(f"{path}: other classes than those of the result")
    return [certainty[name] for name in classes.names]


def open_truth(folder: Path, classes: ClassList, class_map: Mapping[str, str] | None = None) -> NamedLabels:
    """Ground truth by the pictures' names, to measure by.

    Args:
        folder: Label PNGs; without a class list, their values are places in the fused classes.
        class_map: From the labels' own class names to the fused ones or "ignore".

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If one of its classes has no counterpart.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of labels")
    if labels_class_file(folder) is not None:
        return open_named_labels(
            folder, classes, class_map or {}, origin=str(folder), place="the file of --labels-map"
        )
    index = folder / "index"
    files = find_files(index if index.is_dir() else folder)
    return NamedLabels(files, own_table(classes, classes, class_map or {}, str(folder)), str(folder))


def predicts(path: Path) -> bool:
    """Whether a member is a model, which can predict any picture, rather than a folder of labels."""
    return path.suffix == ".onnx" or (path / "card.json").is_file() or (path / "experiment.yaml").is_file()


def _model(name: str, path: Path, device: torch.device) -> Model | None:
    """The member's model; None for a folder of label files."""
    if path.suffix == ".onnx":
        return OnnxModel(path)
    if not path.is_dir():
        raise FileNotFoundError(f"member {name}: {path} is neither a folder nor an .onnx file")
    return TrainedModel.load(path, device) if predicts(path) else None


def _common(members: Sequence[Member], pictures: Mapping[str, Any]) -> list[str]:
    """The pictures of all members; it is an error if they differ, as taking the common ones would hide a mistake."""
    sets = {
        f"member {member.name}": set(member.label.files)
        for member in members
        if isinstance(member, FolderMember)
    }
    if pictures:
        sets["the folder of pictures"] = set(pictures)
    first, expected = next(iter(sets.items()))
    if not expected:
        raise ValueError(
            f"{first} has no pictures: PNG files are looked for in its folder, or in index/ there"
        )
    for name, own in sets.items():
        if own != expected:
            missing, more = sorted(expected - own), sorted(own - expected)
            which = f"lacks {missing[0]!r}" if missing else f"also has {more[0]!r}"
            raise ValueError(
                f"{name} has other pictures than {first}: it {which}"
                f" ({len(missing)} missing, {len(more)} more); names are compared without extension"
            )
    return sorted(expected)
