"""The bench verb prints a table, writes rows that a script can read, and knows what it cannot measure.

Without a name it measures all, in processes of their own: one that fails costs no other.
"""

import json
import os

import pytest
import typer

from segue.bench import against_official, beside_dacs, suite
from segue.cli import bench as verb

ROWS = [{"name": "thing", "value": 3.0, "unit": "ms", "peer": "them", "peer_value": 4.0, "ratio": 0.75}]


def test_table_and_file(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(verb, "FAMILIES", {"thing": lambda recipe: ROWS})
    verb.bench("thing", json_file=tmp_path / "rows.json")
    written = json.loads((tmp_path / "rows.json").read_text())
    (family,) = written["families"]
    assert family["rows"] == ROWS and family["family"] == "thing" and family["seconds"] >= 0
    assert {"processor", "cores", "instructions", "python", "torch", "threads"} <= set(written["machine"])
    printed = capsys.readouterr().out
    assert "0.75" in printed and "peer: them" in printed


def test_several_recipes_have_a_process_each(monkeypatch, tmp_path):
    monkeypatch.setattr(suite, "apart", lambda work, family, recipe: {"rows": [{**ROWS[0], "name": recipe}]})
    verb.bench("step", ["sac", "fda"], tmp_path / "rows.json")
    families = json.loads((tmp_path / "rows.json").read_text())["families"]
    assert [(part["recipe"], part["rows"][0]["name"]) for part in families] == [
        ("sac", "sac"),
        ("fda", "fda"),
    ]


def test_the_spread_of_the_turns_is_shown(monkeypatch, capsys):
    monkeypatch.setattr(verb, "FAMILIES", {"thing": lambda recipe: [{**ROWS[0], "spread": [0.7, 0.81]}]})
    verb.bench("thing")
    assert "0.70 to 0.81" in capsys.readouterr().out


def test_daformer_is_shown_beside_the_official_order(monkeypatch):
    """Its head and its step; shares of the step are what other recipes show."""
    monkeypatch.setattr(against_official, "step_rows", lambda recipe: ["step"])
    monkeypatch.setattr(against_official, "head_rows", lambda: ["head"])
    assert verb.FAMILIES["step"]("daformer") == ["step"]
    assert verb.FAMILIES["head"]("daformer") == ["head"]


def test_a_recipe_that_learns_depth_is_shown_with_the_head_for_it(monkeypatch):
    monkeypatch.setattr(beside_dacs, "rows", lambda own, base: [own, base])
    own, base = verb.FAMILIES["step"]("corda")
    assert (own.network.head, base.network.head) == ("segformer_tasks", "segformer")


def test_a_recipe_that_compares_two_predictions_is_shown_beside_a_network_that_makes_both(monkeypatch):
    monkeypatch.setattr(beside_dacs, "rows", lambda own, base: [own, base])
    own, base = verb.FAMILIES["step"]("mrnet")
    assert own.network == base.network and own.network.auxiliary == 0.5


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


def test_a_recipe_is_refused_where_it_changes_nothing():
    with pytest.raises(ValueError, match="--recipe goes with step and memory"):
        verb.bench("loader", ["clda"])


def test_unknown_name():
    with pytest.raises(ValueError, match="unknown benchmark 'encodr'; did you mean 'encoder'"):
        verb.bench("encodr")


def test_all_of_them_are_measured_and_a_failure_costs_no_other(monkeypatch, tmp_path, capsys):
    """The whole suite, with the measuring replaced: nothing of it is missing, and the file says what failed."""

    def apart(work, family, recipe):
        if family == "loader":
            return {"error": "OSError: disk full"}
        row = {**ROWS[0], "name": "mit_b0_train_fp32", "peer_range": 0.3}
        return suite.measured(lambda: [row]) | {"others": 0.25}

    monkeypatch.setattr(suite, "apart", apart)
    with pytest.raises(typer.Exit):
        verb.bench(json_file=tmp_path / "all.json")
    written = json.loads((tmp_path / "all.json").read_text())
    by_name = {part["family"]: part for part in written["families"]}
    assert set(by_name) == set(verb.FAMILIES) and len(written["families"]) == len(suite.SUITE)
    assert by_name["loader"] == {
        "family": "loader",
        "recipe": "daformer",
        "error": "OSError: disk full",
        "noise": [],
    }
    assert by_name["encoder"]["rows"][0]["goal"] == 0.75
    assert len(by_name["encoder"]["noise"]) == 2
    printed = capsys.readouterr().out
    assert "disk full" in printed and "others used 25 % of the cores" in printed and "0.75" in printed


@pytest.mark.slow
def test_a_family_is_measured_in_a_process_of_its_own():
    assert suite.apart(pid_and, "a", "b")["pid"] != os.getpid()
    assert suite.apart(broken, "a", "b") == {"error": "ValueError: a b"}


def pid_and(family, recipe):
    return {"pid": os.getpid()}


def broken(family, recipe):
    raise ValueError(f"{family} {recipe}")
