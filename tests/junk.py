"""What may stand in a file in the place of anything, and the places of a tree where it may stand."""

from collections.abc import Iterator
from typing import Any

from segue.trees import Tree

JUNK: list[Any] = [
    None,
    True,
    -1,
    1.5,
    float("nan"),
    10**20,
    "text",
    [],
    [1],
    [[[]]],
    {},
    {"a": 1},
]


def places(tree: Tree, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all keys, outer ones before those inside."""
    for key, value in tree.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from places(value, (*above, key))
