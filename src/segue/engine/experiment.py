"""Reading, merging, changing and writing experiments; errors say what to do."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from segue.classes import nearest
from segue.engine.settings import Experiment
from segue.files import write_text
from segue.methods.former import RENAMED, renewed
from segue.precision import automatic
from segue.settings import Settings
from segue.trees import Tree, flatten, merge, nested, read_yaml


def revise(experiment: Experiment, *changes: Mapping[str, Any]) -> Experiment:
    """The experiment with changes merged in, checked again as :func:`parse` does."""
    return parse(merge(experiment.model_dump(mode="json"), *changes))


def parse(tree: Mapping[str, Any], *, origin: str = "configuration") -> Experiment:
    """An experiment from a nested mapping of plain values; errors call the mapping by its ``origin``.

    Raises:
        ValueError: In one line: the first wrong key or value, and the nearest known key.
    """
    try:
        return Experiment.model_validate(renewed(tree))
    except ValidationError as error:
        raise ValueError(f"{origin}: {_explain(error)}") from None


def parse_assignments(assignments: Sequence[str]) -> Tree:
    """``["a.b=1", ...]`` as a nested mapping; values are YAML.

    Raises:
        ValueError: If there is no "=", an empty key, or a value that is not YAML.
    """
    tree: Tree = {}
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        parts = key.strip().split(".")
        if not separator or not all(parts):
            raise ValueError(f"--set {assignment!r}: write it as key.sub=value")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ValueError(f"--set {assignment!r}: the value is not YAML; quote it") from None
        tree = merge(tree, nested({key.strip(): value}))
    return tree


def to_yaml(experiment: Experiment) -> str:
    """The whole tree, defaults included."""
    return yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)


def save(experiment: Experiment, path: Path) -> None:
    """Write the whole tree to a YAML file."""
    write_text(path, to_yaml(experiment))


def load(path: Path) -> Experiment:
    """Read what :func:`save` wrote; ``FileNotFoundError`` if there is none, ``ValueError`` if it does not parse."""
    return parse(read_yaml(path), origin=str(path))


def differences(one: Experiment, other: Experiment) -> list[str]:
    """The dotted keys in which two experiments differ, without those that affect only records and speed."""
    left, right = (_plain_values(experiment) for experiment in (one, other))
    changed = [key for key in sorted(left | right) if left.get(key) != right.get(key)]
    if "auto" in (left["run.precision"], right["run.precision"]):
        changed = [key for key in changed if key != "run.precision"]  # checkpoints know which it was
    return changed


def check_key(key: str) -> None:
    """Raise ``ValueError``, with the nearest known key, unless a dotted key names a setting of any method."""
    path = key.split(".")
    models: list[type[BaseModel]] = [Experiment]
    for place, part in enumerate(path):
        if part not in _keys(models):
            raise ValueError(_unknown(".".join(path[: place + 1]), _keys(models)))
        models = _inside(models, part)


def _plain_values(experiment: Experiment) -> Tree:
    """What an experiment computes, by dotted key; a path is the same whichever way it is written."""
    plain = flatten(experiment.model_dump(mode="json"))
    paths = flatten(experiment.model_dump())
    return {
        key: os.path.abspath(value.expanduser()) if isinstance(value := paths.get(key), Path) else plain[key]
        for key in plain
        if not _only_records(key)
    }


def _only_records(key: str) -> bool:
    if key in ("data.colours", "data.workers"):  # of pictures in reports, and who reads them
        return True
    return key.startswith("run.") and key not in ("run.precision", "run.sync_batch_norm")


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    path, around = _place(first["loc"])
    where = ".".join(path)
    if first["type"] == "extra_forbidden":
        return _unknown(where, _keys(around))
    if first["type"] == "missing":
        return f"{where!r} is missing"
    message = first["msg"].removeprefix("Value error, ")
    got = "" if isinstance(first["input"], Mapping) else f", got {first['input']!r}"
    return f"{where}: {message}{got}" if where else message


def _unknown(key: str, known: Sequence[str]) -> str:
    if key in RENAMED:
        return f"{key!r} is called {RENAMED[key]}"
    return f"unknown key {key!r}{nearest(key.rpartition('.')[2], known)}"


def _place(location: Sequence[str | int]) -> tuple[list[str], list[type[BaseModel]]]:
    """The keys that lead to a place in a file, and the settings among which the last key stands.

    Pydantic's location also names the pieces on the way (a method, a teacher), which are no keys in a file.
    """
    path: list[str] = []
    models: list[type[BaseModel]] = [Experiment]
    around = models
    for part in map(str, location):
        named = [m for m in models if "name" in m.model_fields and m.model_fields["name"].default == part]
        if named:
            models = named
        else:
            path.append(part)
            around, models = models, _inside(models, part)
    return path, around


def _keys(models: Sequence[type[BaseModel]]) -> list[str]:
    return [key for model in models for key in model.model_fields]


def _inside(models: Sequence[type[BaseModel]], field: str) -> list[type[BaseModel]]:
    """The settings that a field of some settings holds."""
    annotations = [model.model_fields[field].annotation for model in models if field in model.model_fields]
    options = [option for one in annotations for option in getattr(one, "__args__", (one,))]
    return [option for option in options if isinstance(option, type) and issubclass(option, Settings)]


def settled(experiment: Experiment, *, cpu: bool) -> Experiment:
    """The experiment with the precision that "auto" means here."""
    if experiment.run.precision != "auto":
        return experiment
    run = experiment.run.model_copy(update={"precision": automatic(cpu=cpu)})
    return experiment.model_copy(update={"run": run})
