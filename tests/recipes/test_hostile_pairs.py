"""Pair files and class lists with anything in the place of anything: one line each, never a traceback."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.junk import JUNK, places

from segue.api import configure
from segue.data.class_map import read_label_classes

PAIR = Path(__file__).resolve().parents[2] / "configs" / "carla_to_camvid.yaml"
TREE = yaml.safe_load(PAIR.read_text())
JUNK_IN_PAIRS = [*JUNK, {1: 2}, [None]]
RECIPES = ("daformer", "cbst", "target_supervised")


def changed(place: tuple[str, ...], *junk: Any) -> dict[str, Any]:
    """The pair with junk at a place; without it, the place is missing."""
    tree = copy.deepcopy(TREE)
    around = tree
    for key in place[:-1]:
        around = around[key]
    around.pop(place[-1], None)
    if junk:
        around[place[-1]] = junk[0]
    return tree


def configured(path: Path, *recipes: str) -> int:
    """How many recipes refuse the pair; each of them has to do so in one line."""
    refused = 0
    for recipe in recipes or RECIPES:
        try:
            configure(recipe, str(path))
        except (ValueError, OSError) as error:
            refused += 1
            assert "\n" not in str(error)
    return refused


@pytest.mark.slow
def test_sections_that_are_missing_or_no_sections(tmp_path: Path) -> None:
    path, refused = tmp_path / "pair.yaml", 0
    upper = [place for place in places(TREE) if len(place) < 3]
    upper += [("extends",), ("method",), ("terms",), ("run",), ("evaluation",), ("recipe",)]
    for place in upper:
        for tree in (changed(place), *(changed(place, junk) for junk in JUNK_IN_PAIRS)):
            path.write_text(yaml.safe_dump(tree))
            refused += configured(path, RECIPES[1 + refused % 2])
    assert refused > 200


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        "[" * 1500,
        "{a: " * 1500,
        "data: {x: " + "{a: " * 40 + "1" + "}" * 41,
        "data: &a {x: *a}\n",
        "when: &a {size=large: {when: *a}}\n",
        "steps: 2000-13-45\n",
        "steps: " + "9" * 5000 + "\n",
        "? [1, 2]\n: 3\n",
        "data: !!python/object:os.system x\n",
        "\x00",
    ],
)
def test_files_that_are_nested_too_deep_or_hold_no_plain_values(tmp_path: Path, content: str) -> None:
    (tmp_path / "pair.yaml").write_text(content)
    assert configured(tmp_path / "pair.yaml") == len(RECIPES)


@pytest.mark.parametrize("suffix", ["json", "yaml"])
@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 100_000, "9" * 5000, "{1: 2000-13-45}", ""])
def test_class_lists_too(tmp_path: Path, suffix: str, content: str) -> None:
    path = tmp_path / f"classes.{suffix}"
    path.write_text(content)
    with pytest.raises(ValueError, match="classes") as refused:
        read_label_classes(path)
    assert "\n" not in str(refused.value)
