"""``segue evaluate --statistics`` compares batch statistics on the same weights, without training again."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.tiny import tiny
from typer.testing import CliRunner

from segue.cli.main import app
from segue.engine.stages import train

LINES = ("per_class_iou", "mean_iou", "accuracy", "pixels", "protocol")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    for statistics in ("trained", "target"):
        wanted = tiny("daformer", {"network": {"statistics": statistics}})
        train(wanted, folder / statistics, console=Console(file=io.StringIO()), cpu=True)
    return {statistics: folder / statistics for statistics in ("trained", "target")}


def evaluated(run: Path, *options: str) -> dict[str, Any]:
    path = run / "again.json"
    found = CliRunner().invoke(app, ["evaluate", str(run), "--device", "cpu", "--json", str(path), *options])
    assert found.exit_code == 0, found.output
    scores = json.loads(path.read_text())
    assert f"batch statistics: {scores['protocol']['batch_statistics']}" in found.output
    return {name: scores[name] for name in LINES}


def scored(run: Path) -> dict[str, Any]:
    scores = json.loads((run / "scores.json").read_text())
    return {name: scores[name] for name in LINES}


@pytest.mark.slow
def test_saved_models_are_scored_as_their_runs_were(runs: dict[str, Path]) -> None:
    for run in runs.values():
        assert evaluated(run) == scored(run)


@pytest.mark.slow
def test_both_kinds_can_be_had_from_either_run(runs: dict[str, Path]) -> None:
    trained, target = scored(runs["trained"]), scored(runs["target"])
    assert trained["accuracy"] != target["accuracy"]
    for run in runs.values():
        assert evaluated(run, "--statistics", "target") == target
        assert evaluated(run, "--statistics", "trained") == trained


@pytest.mark.slow
def test_a_teacher_is_scored_with_what_its_run_asked_for(runs: dict[str, Path]) -> None:
    assert evaluated(runs["trained"], "--teacher")["protocol"]["batch_statistics"] == "as trained"
    own = evaluated(runs["target"], "--teacher")
    assert own["protocol"]["batch_statistics"] == "of 6 target pictures"
    assert evaluated(runs["trained"], "--teacher", "--statistics", "target") == own


@pytest.mark.slow
def test_what_is_not_there_any_more_is_said(runs: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(runs["target"] / "model", tmp_path / "run/model")
    shutil.copy(runs["target"] / "experiment.yaml", tmp_path / "run")
    found = CliRunner().invoke(app, ["evaluate", str(tmp_path / "run"), "--statistics", "trained"])
    assert isinstance(found.exception, ValueError) and "only the run's last checkpoint" in str(
        found.exception
    )
    assert "\n" not in str(found.exception)


def test_a_model_without_a_run_has_no_target(model_folder: Path, labelled_folder: Path) -> None:
    given = ["evaluate", str(model_folder), "--data", str(labelled_folder), "--split", "test"]
    found = CliRunner().invoke(app, [*given, "--statistics", "target"])
    assert isinstance(found.exception, ValueError) and "name its run folder" in str(found.exception)
    assert CliRunner().invoke(app, [*given, "--statistics", "trained"]).exit_code == 0
