"""The tables of docs/selection.md are what the committed records say, and the numbers follow from the scores."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.scripts import load_script
from tests.tiny import QUIET, tiny

from segue.engine.stages import train
from segue.evaluation.unlabelled import MEASURES


@pytest.fixture
def selection() -> ModuleType:
    return load_script("selection")


def test_the_document_is_up_to_date(selection: ModuleType) -> None:
    text = selection.DOCUMENT.read_text(encoding="utf-8")
    assert text.count("<!-- end -->") == 4
    assert selection.filled(text) == text, "run python benchmarks/selection.py write"


def made(
    row: str, seed: int, scores: list[float], levels: list[float], *, start: str | None = None
) -> dict[str, Any]:
    measures = {
        "up": {"title": "up", "better": 1, "votes": True},
        "down": {"title": "down", "better": -1, "votes": False},
    }
    rows = [
        {
            "step": 10 * (place + 1), "mean_iou": score, "values": {"up": level, "down": level},
            "each": {"up": [level] * 8}, "shares": [0.5, 0.5], "certainty": [0.5, 0.5], "alarms": [],
        }
        for place, (score, level) in enumerate(zip(scores, levels, strict=True))
    ]  # fmt: skip
    return {
        "run": f"{row}/seed{seed}", "row": row, "seed": f"seed{seed}", "oracle": row == "oracle", "start": start,
        "measures": measures, "classes": ["a", "b"], "pictures": list("12345678"), "source_pictures": 8,
        "set_aside": True, "source_trained_on": False, "source_shares": [0.5, 0.5], "rows": rows,
    }  # fmt: skip


def test_a_measure_that_orders_by_the_score_loses_nothing_and_its_opposite_all(selection: ModuleType) -> None:
    runs = [
        made("source_only", 0, [0.2, 0.3], [0.2, 0.3]),
        made("dacs", 0, [0.4, 0.5], [0.4, 0.5]),
        made("oracle", 0, [0.9, 0.9], [0.0, 0.0]),
    ]
    record = {"study": "x", "pictures": 8, "runs": runs}
    table = selection.correlations(record)
    assert "4 checkpoints of 2 runs, seeds 0" in table
    assert "| up | yes | +1.00 | +1.00 | n/a | 0.0 | 0.0 |" in table
    assert "| down |  | -1.00 | -1.00 | n/a | 30.0 | 10.0 |" in table
    assert (
        "| at random | | | | | 15.0 | 5.0 |" in table and "| the last checkpoint | | | | | | 0.0 |" in table
    )
    assert "| dacs/seed0 | +20.0 | helped | 1 of 1 measures for it |  |" in selection.verdicts(record)
    assert "oracle" not in selection.verdicts(record)


@pytest.mark.slow
def test_runs_are_measured_once(
    selection: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    for recipe in ("source_only", "dacs"):
        wanted = tiny(recipe, {"evidence": {"pictures": 2}})
        train(wanted, tmp_path / "study" / recipe / "seed0", console=QUIET, cpu=True)
    for _ in range(2):
        selection.measure(
            tmp_path / "study", tmp_path / "out.json.xz", pictures=2, device=torch.device("cpu")
        )
    assert capsys.readouterr().out == "dacs/seed0\nsource_only/seed0\n"
    record = selection.read(tmp_path / "out.json.xz")
    assert [run["run"] for run in record["runs"]] == ["dacs/seed0", "source_only/seed0"]
    for run in record["runs"]:
        assert [row["step"] for row in run["rows"]] == [2, 3]
        assert all(
            0 <= row["mean_iou"] <= 1 and row["values"].keys() == MEASURES.keys() for row in run["rows"]
        )
        scores = json.loads((tmp_path / "study" / run["run"] / "scores.json").read_text())
        assert run["rows"][-1]["mean_iou"] == pytest.approx(scores["mean_iou"])
    assert "dacs/seed0" in selection.verdicts(record)
