"""Nested mappings of plain values: what recipes return and settings are made of."""

from collections.abc import Mapping
from typing import Any, cast

Tree = dict[str, Any]


class Entries(dict[str, Any]):
    """A mapping of which single entries are meant: merged even where a mapping replaces what was there."""


def merge(base: Mapping[str, Any], *changes: Mapping[str, Any]) -> Tree:
    """Nested mappings merged, the later ones winning; lists, whole class maps and None replace what was there."""
    merged: Tree = dict(base)
    for change in changes:
        for key, value in change.items():
            present = merged.get(key)
            is_whole = key == "class_map" and not isinstance(value, Entries)
            if isinstance(value, Mapping) and isinstance(present, Mapping) and not is_whole:
                both = merge(cast(Tree, present), cast(Tree, value))
                merged[key] = Entries(both) if isinstance(present, Entries) else both
            else:
                merged[key] = value
    return merged


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Tree:
    """``{"a": {"b": 1}}`` as ``{"a.b": 1}``."""
    flat: Tree = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat |= flatten(cast(Tree, value), f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat
