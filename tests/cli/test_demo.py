"""The demo trains three runs with one budget, writes their scores and the share of the gap, and makes way again."""

import json
from pathlib import Path

import pytest
from tests.processes import quick_starts
from typer.testing import CliRunner

from segue.cli import demo
from segue.cli.main import app
from segue.engine.experiment import revise, save
from segue.recipes.catalogue import experiment
from segue.recipes.pairs import STREET_SCENES

TINY = ["data.crop=[64,64]", "network.channels=16", "data.source.pictures=6", "data.target.pictures=6",
        *(f"data.{domain}.size=[64,128]" for domain in ("source", "target", "evaluation", "source_evaluation")),
        "data.evaluation.pictures=2", "data.source_evaluation.pictures=2",
        "data.workers=0", "data.batch=1"]  # fmt: skip


@pytest.mark.slow
def test_demo_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick_starts(monkeypatch, demo)
    arguments = ["demo", "--out", str(tmp_path), "--steps", "2"]
    arguments += [part for assignment in TINY for part in ("--set", assignment)]
    for _ in range(2):
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0
        summary = json.loads((tmp_path / "summary.json").read_text())
        assert list(summary) == ["source_only", "adapted", "oracle", "gap_closed", "seconds"]
        gap = summary["oracle"] - summary["source_only"]
        assert summary["gap_closed"] == pytest.approx((summary["adapted"] - summary["source_only"]) / gap)
        for name in ("source_only", "adapted", "oracle"):
            assert summary[name] == json.loads((tmp_path / name / "scores.json").read_text())["mean_iou"]
    assert "<html" in (tmp_path / "report.html").read_text()
    assert "gap closed" in result.stdout


def test_runs_of_somebody_else_are_not_removed(tmp_path: Path) -> None:
    wanted = experiment("source_only", STREET_SCENES, {"steps": 2})
    save(revise(wanted, {"data": {"pair": "mine"}}), tmp_path / "source_only/experiment.yaml")
    found = CliRunner().invoke(app, ["demo", "--steps", "2", "--out", str(tmp_path)])
    assert "holds a run that is not the demo's" in str(found.exception)
    assert (tmp_path / "source_only/experiment.yaml").is_file() and not (tmp_path / ".demo").exists()
