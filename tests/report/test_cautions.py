"""Scores that do not compare, vanished classes, unfinished runs and broken numbers are pointed out."""

from segue.report.roles import assign_roles
from segue.report.run_folder import RunFolder
from segue.report.verdict import cautions

BEFORE = {"road": 0.8, "car": 0.4, "train": None}


def test_scores_that_do_not_compare_are_pointed_out(pair) -> None:
    after = {"road": 0.8, "car": 0.4, "train": 0.1}
    found = " ".join(cautions(pair(BEFORE, after, pixels=90, protocol={"network": "teacher"})))
    assert "different classes" in found and "numbers of pixels" in found and "differ in network" in found


def test_classes_that_the_protocol_leaves_out_are_named(pair) -> None:
    runs = pair(BEFORE | {"bus": 0.2}, BEFORE | {"bus": 0.3}, counted=["road", "train"])
    found = " ".join(cautions(runs[::-1]))
    assert "leaves car and bus out of the mean" in found and "different classes" in found


def test_a_vanished_class_is_pointed_out(pair) -> None:
    assert "car (40.0% → 0.1%)" in " ".join(cautions(pair(BEFORE, BEFORE | {"car": 0.001})))


def test_an_equal_pair_has_nothing_to_caution_about(pair) -> None:
    assert cautions(pair(BEFORE, BEFORE)) == []


def test_unfinished_runs_and_broken_numbers_are_pointed_out(make_run) -> None:
    folder = make_run("killed")
    (folder / "metrics.jsonl").write_text('{"step": 10, "loss": NaN}\n{"step": 20, "loss": 1}\n{"st')
    found = " ".join(cautions(assign_roles([RunFolder(folder)])))
    assert "step 20 of 300" in found and "skipped (1)" in found and "finite: in loss" in found
