"""`run.trackers` sends every line of the log to trackers; one that is missing is refused before anything is written."""

import json
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import accelerate.tracking
import pytest
from accelerate.utils import LoggerType
from tests.tiny import QUIET, tiny

from segue.engine.run import train


def test_a_missing_one_is_refused_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerate.tracking, "_available_trackers", [])
    wanted = tiny("source_only", {"run": {"trackers": ["mlflow"]}})
    with pytest.raises(ValueError, match="pip install mlflow"):
        train(wanted, tmp_path / "run", console=QUIET, cpu=True)
    assert not (tmp_path / "run").exists()


def test_an_unknown_one_is_a_wrong_setting() -> None:
    with pytest.raises(ValueError, match=r"run\.trackers"):
        tiny("source_only", {"run": {"trackers": ["notebook"]}})


@pytest.mark.slow
def test_every_line_of_the_log_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    got: dict[str, Any] = {"lines": [], "settings": {}, "finished": 0}

    class Run:
        def log(self, values: Mapping[str, float], step: int) -> None:
            got["lines"].append((step, dict(values)))

        def finish(self) -> None:
            got["finished"] += 1

    fake = types.ModuleType("wandb")
    fake.init = lambda **options: got.update(options=options) or Run()
    fake.config = types.SimpleNamespace(update=lambda values, **_: got["settings"].update(values))
    monkeypatch.setitem(__import__("sys").modules, "wandb", fake)
    monkeypatch.setattr(accelerate.tracking, "_available_trackers", [LoggerType.WANDB])
    wanted = tiny("source_only", {"run": {"trackers": ["wandb"]}})
    train(wanted, tmp_path / "named", console=QUIET, cpu=True)
    rows = [json.loads(line) for line in (tmp_path / "named/metrics.jsonl").read_text().splitlines()]
    assert [{"step": step, **values} for step, values in got["lines"]] == [
        row | {"steps_per_second": got["lines"][place][1]["steps_per_second"]}
        for place, row in enumerate(rows)
    ]
    assert got["finished"] == 1 and got["options"]["name"] == "named"
    assert got["settings"]["optim.lr"] == wanted.optim.lr

    train(wanted, tmp_path / "named", console=QUIET, cpu=True)  # finished: it is only scored again
    assert got["finished"] == 1


@pytest.mark.slow
def test_tensorboard_writes_into_the_run_folder(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    wanted = tiny("source_only", {"run": {"trackers": ["tensorboard"]}})
    train(wanted, tmp_path, console=QUIET, cpu=True)
    assert list((tmp_path / "segue").rglob("events.out.tfevents.*"))
