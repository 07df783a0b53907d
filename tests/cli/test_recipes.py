"""``segue recipes`` lists what can be trained, and shows one recipe's settings and published rows."""

import pytest
import yaml
from typer.testing import CliRunner

from segue.cli.main import app
from segue.recipes.catalogue import RECIPES
from segue.recipes.measured import Measured


def shown(*arguments: str) -> str:
    found = CliRunner().invoke(app, ["recipes", *arguments], catch_exceptions=False)
    assert found.exit_code == 0
    return found.output


def test_the_list_has_every_recipe_whole_within_80_columns_of_a_pipe() -> None:
    """Nothing is cut, boxed or wider than 80 columns, and a recipe's name starts its line, as `grep ^dacs` wants it."""
    text = shown()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text and "┃" not in text
    words = " ".join(text.split())
    for name, recipe in RECIPES.items():
        assert f"\n{name} " in f"\n{text}"
        assert recipe.pieces in words and recipe.paper in words
        for pair, row in recipe.rows.items():
            assert f"{row.mean:.1f} {pair}" in words


def test_the_list_says_what_was_measured_here_and_from_where(monkeypatch: pytest.MonkeyPatch) -> None:
    """A star marks runs that went on from a trained model; seeds are told unless they are three."""
    rows = {
        "mic": {"p": Measured(50.0, 3, True), "q": Measured(41.26, 3, False)},
        "dacs": {"p": Measured(9.0, 1, True)},
    }
    monkeypatch.setattr("segue.recipes.measured.measured", lambda: rows)
    words = " ".join(shown().split())
    assert "here 50.0* p, 41.3 q " in words and "here 9.0* p (1 seed) " in words
    assert "*: gone on from a trained model" in words
    assert " accuracy 92.8 visda_2017" in words


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_list_fits_terminals(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """On a terminal the list takes its width, but never more than 100 columns; no word is cut in two."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    lines = shown().splitlines()
    # The longest name and the longest pair need more than 40 columns: they stay whole.
    assert max(map(len, lines)) <= max(min(width, 100), 48)
    assert any("DAFormer + rare" in line or "DACS + rare" in line for line in lines)


def test_one_recipe_with_its_rows() -> None:
    lines = shown("daformer").splitlines()
    assert lines[0].startswith("daformer: ")
    assert "    momentum: 0.999" in lines
    assert any("road" in line and "95.7" in line and "84.5" in line for line in lines)
    assert any(line.startswith("synthia_to_cityscapes: 60.9 over synthia_16; ") for line in lines)


def test_settings_on_a_pair_are_a_whole_experiment() -> None:
    from segue.engine.experiment import parse
    from segue.recipes import pairs
    from segue.recipes.catalogue import experiment

    text = shown("source_only", "--pair", "street_scenes")
    tree = yaml.safe_load(text.partition("Every setting on street_scenes:\n")[2])
    assert parse(tree) == experiment("source_only", pairs.STREET_SCENES)


def test_what_a_pair_changes_of_a_recipe_is_told() -> None:
    lines = shown("dida", "--pair", "street_scenes").splitlines()
    assert (
        "- method.teacher.momentum 0.9 instead of 0.999" in lines
        and "- terms.feature_distance left out" in lines
    )
    assert "The pair sets otherwise than the recipe: nothing" in shown("dida", "--pair", "gta5_to_cityscapes")


def test_mistakes_are_told() -> None:
    with pytest.raises(ValueError, match=r"unknown recipe 'dafromer'; did you mean 'daformer'"):
        shown("dafromer")
    with pytest.raises(ValueError, match="name it"):
        shown("--pair", "street_scenes")
