"""Nested mappings of plain values: what recipes return and settings are made of."""

from collections.abc import Mapping
from typing import Any, cast

Tree = dict[str, Any]


def merge(base: Mapping[str, Any], *changes: Mapping[str, Any]) -> Tree:
    """Nested mappings merged, the later ones winning; lists, class maps and None replace what was there."""
    merged: Tree = dict(base)
    for change in changes:
        for key, value in change.items():
            present = merged.get(key)
            if isinstance(value, Mapping) and isinstance(present, Mapping) and key != "class_map":
                merged[key] = merge(cast(Tree, present), cast(Tree, value))
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
