"""Collapses that are brought about in real training raise alarms and the verdict "hurt"; a healthy run raises none."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.tiny import QUIET, tiny

from segue.engine.stages import train
from segue.evaluation import evidence
from segue.evaluation.evidence import Record
from segue.trees import Tree

PAIR: Tree = {
    "data": {
        "source": {"pictures": 40, "size": [128, 256]},
        "target": {"pictures": 12, "size": [128, 256]},
        "source_evaluation": {"pictures": 4, "size": [128, 256]},
        "evaluation": None,
    },
    "run": {"save_every": 5, "log_every": 5, "draw_every": 0},
    "evidence": {"pictures": 4},
    "evaluation": {"mode": "whole"},  # in one pass, not in eighteen windows
}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source-only model that has learnt the large classes."""
    folder = tmp_path_factory.mktemp("start") / "run"
    train(
        tiny("source_only", PAIR, {"steps": 120, "run": {"save_every": 40}}), folder, console=QUIET, cpu=True
    )
    return folder


def trained(start: Path, folder: Path, recipe: str, *wishes: dict[str, Any]) -> tuple[Record, str]:
    said = io.StringIO()
    wanted = tiny(recipe, PAIR, {"steps": 10, "network": {"start": str(start)}}, *wishes)
    train(wanted, folder, console=Console(file=said, width=200), cpu=True)
    record = evidence.read(folder)
    assert record is not None
    return record, said.getvalue()


@pytest.mark.slow
def test_a_class_that_takes_over_is_said_at_once(start: Path, tmp_path: Path) -> None:
    """Far too high a rate, with every pseudo-label trusted."""
    record, said = trained(
        start, tmp_path / "run", "dacs", {"optim": {"lr": 0.5, "warmup": 0.0}, "method": {"threshold": None}}
    )
    assert any("takes over" in alarm for row in record.rows for alarm in row.alarms)
    assert "step 5: " in said and "takes over" in said and "is vanishing" in said
    assert evidence.judge(record).finding == "hurt"


@pytest.mark.slow
def test_certainty_that_moves_the_classes_is_said(start: Path, tmp_path: Path) -> None:
    """The entropy of predictions on the target is all that is learnt."""
    record, said = trained(
        start,
        tmp_path / "run",
        "minent",
        {"steps": 30, "optim": {"lr": 0.02}, "terms": {"entropy": {"share": 100.0}}},
    )
    assert any("hollow certainty" in alarm or "takes over" in alarm for alarm in record.rows[-1].alarms), said
    assert record.rows[-1].collapsed and evidence.judge(record).finding == "hurt"


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["dacs", "daformer_mic"])
def test_a_healthy_run_raises_no_alarm(start: Path, tmp_path: Path, recipe: str) -> None:
    record, said = trained(start, tmp_path / "run", recipe, {"optim": {"lr": 1e-3}})
    assert not any(row.alarms for row in record.rows), said
    assert evidence.judge(record).finding in ("helped", "no evidence")


@pytest.mark.slow
def test_training_from_random_weights_raises_no_alarm(start: Path) -> None:
    record = evidence.read(start)
    assert record is not None and len(record.rows) == 4 and not any(row.alarms for row in record.rows)
