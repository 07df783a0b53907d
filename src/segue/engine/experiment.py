"""Reading, merging, changing and writing experiments, with errors that say what to do."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from segue.classes import nearest
from segue.engine.settings import Experiment
from segue.files import write_text
from segue.methods import METHODS
from segue.settings import Settings
from segue.trees import Tree, flatten, merge, nested, read_yaml


def revise(experiment: Experiment, *changes: Mapping[str, Any]) -> Experiment:
    """The experiment with changes merged in and checked again.

    Raises:
        ValueError: If a key is unknown or a value is out of range.
    """
    return parse(merge(experiment.model_dump(mode="json"), *changes))


def parse(tree: Mapping[str, Any], *, origin: str = "configuration") -> Experiment:
    """An experiment from a nested mapping.

    Args:
        tree: Nested mapping of plain values.
        origin: What to call it in an error: a file's name, for example.

    Raises:
        ValueError: In one line: the first wrong key or value, and the nearest known key.
    """
    try:
        return Experiment.model_validate(tree)
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
    """Write the whole tree to a YAML file, beside it first and then renamed."""
    write_text(path, to_yaml(experiment))


def load(path: Path) -> Experiment:
    """Read what :func:`save` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or of another version.
    """
    return parse(read_yaml(path), origin=str(path))


def differences(one: Experiment, other: Experiment) -> list[str]:
    """The dotted keys in which two experiments differ, without what changes only records and speed."""
    left, right = (flatten(e.model_dump(mode="json")) for e in (one, other))
    return [key for key in sorted(left | right) if left.get(key) != right.get(key) and not _only_records(key)]


def check_key(key: str) -> None:
    """See that a dotted key names a setting, of any method.

    Raises:
        ValueError: If it names none; the message names the nearest one.
    """
    path = key.split(".")
    for place, part in enumerate(path):
        known = _known_keys(path[:place], "")
        if part not in known:
            raise ValueError(f"unknown key {'.'.join(path[: place + 1])!r}{nearest(part, known)}")


def _only_records(key: str) -> bool:
    return key.startswith("run.") and key != "run.precision"


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    # The discriminator's tag ("self_training") stands in the path of a method's key, but not in the file.
    path = [str(part) for part in first["loc"] if part not in METHODS]
    where = ".".join(path)
    if first["type"] == "extra_forbidden":
        return f"unknown key {where!r}{nearest(path[-1], _known_keys(path[:-1], str(first['loc'])))}"
    if first["type"] == "missing":
        return f"{where!r} is missing"
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}, got {first['input']!r}" if where else message


def _known_keys(path: Sequence[str], location: str) -> list[str]:
    models: list[type[BaseModel]] = [Experiment]
    for part in path:
        models = [inner for model in models for inner in _models_of(model, part)]
    named = [
        m for m in models if "name" in m.model_fields and repr(m.model_fields["name"].default) in location
    ]
    return [key for model in (named or models) for key in model.model_fields]


def _models_of(model: type[BaseModel], field: str) -> list[type[BaseModel]]:
    if field not in model.model_fields:
        return []
    annotation = model.model_fields[field].annotation
    options = getattr(annotation, "__args__", (annotation,))
    return [option for option in options if isinstance(option, type) and issubclass(option, Settings)]
