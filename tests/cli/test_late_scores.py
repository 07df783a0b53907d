"""``segue evaluate`` on pictures labelled after the training: the run's own scores, its report, and a verdict."""

import json
from pathlib import Path

import pytest
from tests.street_folders import write_folder
from tests.tiny import TINY
from typer.testing import CliRunner

from segue.cli.main import app
from segue.engine import experiment as experiments
from segue.engine.build import build_student
from segue.engine.model_card import model_card
from segue.models.weights import save_model
from segue.recipes.catalogue import experiment


def evaluate(*arguments: object) -> str:
    found = CliRunner().invoke(app, ["evaluate", *map(str, arguments)])
    assert found.exit_code == 0, found.output
    return found.output


def write_run(folder: Path, recipe: str) -> Path:
    """A run whose pair names no labelled target pictures."""
    wanted = experiment(recipe, TINY, {"data": {"evaluation": None, "source_evaluation": None}})
    experiments.save(wanted, folder / "experiment.yaml")
    save_model(folder / "model", build_student(wanted), model_card(wanted, step=3))
    return folder


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    write_folder(tmp_path / "few", domain="target", split="val", count=3, size=(64, 128))
    return tmp_path / "few"


def test_a_run_without_scores_gets_them_with_report_and_verdict(tmp_path: Path, labelled: Path) -> None:
    run, first = (
        write_run(tmp_path / "adapted", "daformer"),
        write_run(tmp_path / "source_only", "source_only"),
    )
    said = evaluate(run, "--data", labelled, "--baseline", first)
    for folder in (run, first):
        scores = json.loads((folder / "scores.json").read_text())
        assert scores["protocol"]["pictures"] == 3 and scores["scored_on"] == str(labelled.resolve())
    assert (run / "pictures/evaluation/index.json").is_file()
    page = (run / "report.html").read_text()
    assert "No verdict yet" not in page and "Adaptation" in page
    assert "Adaptation" in said and "mean IoU on the target" in said and str(run / "report.html") in said


def test_the_baseline_that_the_training_was_told_is_remembered(tmp_path: Path, labelled: Path) -> None:
    run, first = (
        write_run(tmp_path / "adapted", "daformer"),
        write_run(tmp_path / "source_only", "source_only"),
    )
    (run / "baseline.txt").write_text(f"{first}\n")
    evaluate(first, "--data", labelled)
    assert "Adaptation" in evaluate(run, "--data", labelled)
    assert "Adaptation" in evaluate(run, "--data", labelled), "the same pictures again replace their scores"


def test_scores_of_other_pictures_or_measured_otherwise_never_replace_any(
    tmp_path: Path, labelled: Path
) -> None:
    run = write_run(tmp_path / "adapted", "daformer")
    evaluate(run, "--data", labelled, "--flip")
    assert not (run / "scores.json").exists()
    evaluate(run, "--data", labelled)
    before = (run / "scores.json").read_text()
    write_folder(tmp_path / "other", domain="target", split="val", count=2, size=(64, 128))
    said = evaluate(run, "--data", tmp_path / "other", "--json", tmp_path / "other.json")
    assert "the run keeps its scores" in said
    assert (run / "scores.json").read_text() == before
    assert json.loads((tmp_path / "other.json").read_text())["protocol"]["pictures"] == 2
