"""The bench verb prints a table, writes rows that a script can read, and knows what it cannot measure."""

import json

import pytest

from segue.bench import against_official, beside_dacs
from segue.cli import bench as verb

ROWS = [{"name": "thing", "value": 3.0, "unit": "ms", "peer": "them", "peer_value": 4.0, "ratio": 0.75}]


def test_table_and_file(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(verb, "FAMILIES", {"thing": lambda recipe: ROWS})
    verb.bench("thing", json_file=tmp_path / "rows.json")
    assert json.loads((tmp_path / "rows.json").read_text()) == ROWS
    printed = capsys.readouterr().out
    assert "0.75" in printed and "peer: them" in printed


def test_the_spread_of_the_turns_is_shown(monkeypatch, capsys):
    monkeypatch.setattr(verb, "FAMILIES", {"thing": lambda recipe: [{**ROWS[0], "spread": [0.7, 0.81]}]})
    verb.bench("thing")
    assert "0.70 to 0.81" in capsys.readouterr().out


def test_daformer_is_shown_beside_the_official_order(monkeypatch):
    """Its head and its step; shares of the step are what other recipes show."""
    monkeypatch.setattr(against_official, "step_rows", lambda: ["step"])
    monkeypatch.setattr(against_official, "head_rows", lambda: ["head"])
    assert verb.FAMILIES["step"]("daformer") == ["step"]
    assert verb.FAMILIES["head"]("daformer") == ["head"]


def test_a_recipe_that_learns_depth_is_shown_with_the_head_for_it(monkeypatch):
    monkeypatch.setattr(beside_dacs, "rows", lambda own, base: [own, base])
    own, base = verb.FAMILIES["step"]("corda")
    assert (own.network.head, base.network.head) == ("segformer_tasks", "segformer")


@pytest.mark.parametrize("recipe", ["fda", "sac", "proda", "advent"])
def test_other_recipes_are_shown_beside_dacs_with_its_network(monkeypatch, recipe):
    monkeypatch.setattr(beside_dacs, "rows", lambda own, base: [own, base])
    own, base = verb.FAMILIES["step"](recipe)
    assert (own.recipe, base.recipe) == (recipe, "dacs")
    assert (
        own.network == base.network and own.data.crop == base.data.crop and own.data.batch == base.data.batch
    )
    with pytest.raises(ValueError, match="unknown recipe 'fad'"):
        verb.FAMILIES["step"]("fad")


def test_unknown_name():
    with pytest.raises(ValueError, match="unknown benchmark 'encodr'; did you mean 'encoder'"):
        verb.bench("encodr")
