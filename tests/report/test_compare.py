"""The verdict says what the scores say; incomparable scores and vanished classes are said beside it."""

import json
from pathlib import Path

import pytest

from segue.report.compare import cautions, class_table, judge, settings, widest
from segue.report.lineup import Entry, line_up
from segue.report.run_folder import RunFolder

BEFORE = {"road": 0.8, "car": 0.4, "train": None}


@pytest.fixture
def pair(make_run):
    """Two runs with the given IoUs, lined up."""

    def make(before: dict, after: dict, *, recipe: str = "source_only", **more) -> list[Entry]:
        from_scores = {"first": (recipe, before, {}), "second": ("daformer", after, more)}
        folders = []
        for name, (its_recipe, ious, extra) in from_scores.items():
            folder: Path = make_run(name, recipe=its_recipe, pictures=0)
            counted = [iou for iou in ious.values() if iou is not None]
            scores = {"mean_iou": sum(counted) / len(counted), "per_class_iou": ious, "pixels": 100}
            (folder / "scores.json").write_text(json.dumps(scores | extra))
            folders.append(RunFolder(folder))
        return line_up(folders)

    return make


@pytest.mark.parametrize(
    ("car", "tone", "headline", "distance"),
    [
        (0.6, "gain", "Adaptation helped.", "10.0 points above"),
        (0.41, "even", "Adaptation did not help.", "0.5 points above"),
        (0.39, "even", "Adaptation did not help.", "0.5 points below"),
        (0.3, "loss", "Adaptation hurt.", "5.0 points below"),
    ],
)
def test_verdict_against_source_only(pair, car: float, tone: str, headline: str, distance: str) -> None:
    verdict = judge(pair(BEFORE, BEFORE | {"car": car}))
    assert (verdict.tone, verdict.headline) == (tone, headline)
    assert distance in verdict.sentences[0]


def test_verdict_names_numbers_and_classes(pair) -> None:
    said = " ".join(judge(pair(BEFORE, BEFORE | {"car": 0.6, "road": 0.7})).sentences)
    assert "65.0% mean IoU" in said and "first (60.0%)" in said
    assert "1 of 2 classes gained" in said and "car (+20.0)" in said and "road (\N{MINUS SIGN}10.0)" in said


def test_without_a_source_only_run_the_page_does_not_speak_of_adaptation(pair) -> None:
    verdict = judge(pair(BEFORE, BEFORE | {"car": 0.6}, recipe="dacs"))
    assert verdict.headline == "second is ahead of first."


def test_one_run_gets_no_verdict_but_its_gap_to_the_source(make_run) -> None:
    verdict = judge(line_up([RunFolder(make_run("daformer"))]))
    assert verdict.tone is None
    assert "82.0%" in " ".join(verdict.sentences) and "source-only run" in verdict.sentences[-1]


def test_a_missing_score_is_said(make_run) -> None:
    entries = line_up([RunFolder(make_run("source_only")), RunFolder(make_run("daformer", scores=False))])
    verdict = judge(entries)
    assert verdict.tone is None and "no score for daformer" in verdict.sentences[0]


def test_an_oracle_is_never_the_judged_run(make_run) -> None:
    names = ("source_only", "daformer", "upper_end")
    folders = [make_run(name) for name in names]
    (folders[2] / "experiment.yaml").write_text("recipe: target_supervised\nreads_target_labels: true\n")
    entries = line_up([RunFolder(folder) for folder in folders])
    assert [entry.role for entry in entries] == ["baseline", "judged", "oracle"]


def test_names_must_fit_the_runs(make_run) -> None:
    run = RunFolder(make_run("daformer"))
    with pytest.raises(ValueError, match="2 names"):
        line_up([run], ["one", "two"])
    with pytest.raises(ValueError, match="at least one"):
        line_up([])


def test_runs_of_one_name_are_told_apart_by_their_parents(make_run) -> None:
    entries = line_up([RunFolder(make_run("seed0/run")), RunFolder(make_run("seed1/run"))])
    assert [entry.name for entry in entries] == ["seed0/run", "seed1/run"]


def test_scores_that_do_not_compare_are_pointed_out(pair) -> None:
    after = {"road": 0.8, "car": 0.4, "train": 0.1}
    found = " ".join(cautions(pair(BEFORE, after, pixels=90, protocol={"flip": True})))
    assert "different classes" in found and "numbers of pixels" in found and "differ in flip" in found


def test_a_vanished_class_is_pointed_out(pair) -> None:
    assert "car (40.0% → 0.1%)" in " ".join(cautions(pair(BEFORE, BEFORE | {"car": 0.001})))


def test_an_equal_pair_has_nothing_to_caution_about(pair) -> None:
    assert cautions(pair(BEFORE, BEFORE)) == []


def test_unfinished_runs_and_broken_numbers_are_pointed_out(make_run) -> None:
    folder = make_run("killed")
    (folder / "metrics.jsonl").write_text('{"step": 10, "loss": NaN}\n{"step": 20, "loss": 1}\n{"st')
    found = " ".join(cautions(line_up([RunFolder(folder)])))
    assert "step 20 of 300" in found and "(1)" in found and "curves: loss" in found


def test_class_table_keeps_absent_apart_from_zero(pair) -> None:
    rows = {row.name: row for row in class_table(pair(BEFORE, {"road": 0.9, "car": 0.0, "train": None}))}
    assert rows["train"].ious == [None, None] and rows["train"].differences == [None]
    assert rows["car"].ious == [0.4, 0.0] and rows["car"].differences == [-0.4]
    assert widest(list(rows.values())) == 0.4


def test_settings_lists_only_what_differs(make_run) -> None:
    entries = line_up([RunFolder(make_run("a", recipe="dacs")), RunFolder(make_run("b", steps=200))])
    assert settings(entries) == {"recipe": ["dacs", "daformer"], "steps": ["300", "200"]}
