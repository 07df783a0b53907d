"""Nested mappings of plain values, as recipes return and YAML files hold them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from yaml.composer import ComposerError

Tree = dict[str, Any]


class Entries(dict[str, Any]):
    """A mapping whose entries are set one by one: merged even at a key where a mapping replaces the old value."""


def merge(base: Mapping[str, Any], *changes: Mapping[str, Any]) -> Tree:
    """Nested mappings merged, the later ones winning.

    Lists, whole class maps and None replace what was there, and so do the settings of a piece by another ``name``.
    """
    merged: Tree = dict(base)
    for change in changes:
        for key, value in change.items():
            present = merged.get(key)
            is_whole = key == "class_map" and not isinstance(value, Entries)
            are_trees = isinstance(value, Mapping) and isinstance(present, Mapping)
            if are_trees and not is_whole and not _is_another(cast(Tree, present), cast(Tree, value)):
                both = merge(cast(Tree, present), cast(Tree, value))
                merged[key] = Entries(both) if isinstance(present, Entries) else both
            else:
                merged[key] = value
    return merged


def _is_another(piece: Tree, change: Tree) -> bool:
    return "name" in change and change["name"] != piece.get("name", change["name"])


def nested(settings: Mapping[str, Any]) -> Tree:
    """``{"a.b": 1}`` as ``{"a": {"b": 1}}``, of which single entries are meant."""
    tree: Tree = {}
    for key, value in settings.items():
        for part in reversed(key.split(".")):
            value = Entries({part: value})
        tree = merge(tree, value)
    return tree


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Tree:
    """``{"a": {"b": 1}}`` as ``{"a.b": 1}``."""
    flat: Tree = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat |= flatten(cast(Tree, value), f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


class _Loader(yaml.SafeLoader):
    """Refuses a key that is written twice in a mapping, of which YAML's libraries keep the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        keys: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag.endswith(":merge"):
                continue
            if key.value in keys:
                problem = f"{key.value!r} is written twice; one would be lost"
                raise ComposerError(None, None, problem, key.start_mark)
            keys.add(key.value)
        return node


def parse_yaml(text: str) -> object:
    """The plain values of a YAML text; a ``yaml.YAMLError`` for what is not YAML, or has a key twice."""
    return yaml.load(text, _Loader)


def read_yaml(path: Path) -> Tree:
    """A YAML file that holds a mapping.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not YAML or holds something other than a mapping.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        tree = parse_yaml(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError(f"{path}: {TOO_DEEP}") from None
    except (
        yaml.YAMLError,
        ValueError,
    ) as error:  # ValueError: not UTF-8, or no number or date, though written so
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: not readable as YAML: {reason}") from None
    if not isinstance(tree, dict):
        raise ValueError(f"{path}: expected a mapping of settings, found {type(tree).__name__}")
    _check_nesting(tree, path)
    return cast(Tree, tree)


DEEPEST = 30
"""How deep settings may be nested; the deepest real ones are within ten."""

TOO_DEEP = f"settings inside settings, more than {DEEPEST} deep: mend its nesting"


def _check_nesting(tree: object, path: Path) -> None:
    """Raise ``ValueError`` if a tree is nested too deep, as one that contains itself is."""
    level: list[object] = [tree]
    for _ in range(DEEPEST):
        inner = [
            cast(Tree, node).values() if isinstance(node, dict) else cast(list[object], node)
            for node in level
        ]
        # By identity, as aliases of one part would otherwise be looked at again and again.
        level = list(
            {id(part): part for parts in inner for part in parts if isinstance(part, dict | list)}.values()
        )
        if not level:
            return
    raise ValueError(f"{path}: {TOO_DEEP}")
