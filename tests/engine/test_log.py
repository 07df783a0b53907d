"""The log: rows after the checkpoint are forgotten on resume, half a row is no row, pipes get plain lines."""

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from segue.engine.log import RunLog, read_lines, seconds_trained
from segue.engine.waiting import Waiting


def test_rows_after_the_checkpoint_and_half_a_row_are_removed(tmp_path: Path) -> None:
    rows = [json.dumps({"step": step, "loss": step / 2}) for step in range(6)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(rows) + '\n{"step": 6, "lo')
    with RunLog(tmp_path, steps=9, start=4, console=Console(file=io.StringIO()), title="run") as log:
        log.write(4, {"loss": 7.0})
    assert [row["step"] for row in read_lines(tmp_path / "metrics.jsonl")] == [0, 1, 2, 3, 4]
    assert read_lines(tmp_path / "metrics.jsonl")[-1] == {"step": 4, "loss": 7.0}
    assert read_lines(tmp_path / "timing.jsonl")[-1].keys() == {
        "step",
        "seconds",
        "steps_per_second",
        "waiting",
        "memory_mb",
    }


def test_a_pipe_gets_one_plain_line_a_record_and_no_pace_from_the_first_step(tmp_path: Path) -> None:
    text = io.StringIO()
    with RunLog(tmp_path, steps=3, start=0, console=Console(file=text, width=40), title="run") as log:
        for step in range(2):
            log.write(step, {"lr": 0.1, "source/segmentation": 1.5})
            log.advance(step)
    first, second = text.getvalue().splitlines()
    assert first == "run  1/3  source/segmentation 1.5"
    assert second.startswith("run  2/3  ") and "source/segmentation 1.5" in second and "steps/s" in second


def logged(folder: Path, seconds_of_waiting: list[float]) -> str:
    """What a run says whose steps take 20 ms."""
    text = io.StringIO()
    console = Console(file=text, width=400)
    with RunLog(folder, steps=9, start=0, console=console, title="run") as log:
        for step, waited in enumerate(seconds_of_waiting):
            time.sleep(0.02)
            log.write(step, {}, waited=waited)
    return text.getvalue()


def test_who_waits_for_pictures_is_told_once_and_not_because_of_the_first_step(tmp_path: Path) -> None:
    said = logged(tmp_path, [0.0, 10.0, 10.0])
    assert said.count("100 % of the time is spent waiting for pictures") == 1 and "data.workers" in said
    assert [row["waiting"] for row in read_lines(tmp_path / "timing.jsonl")] == [0.0, 1.0, 1.0]
    assert "waiting" not in logged(tmp_path, [10.0, 0.001, 0.001])


def test_the_time_spent_waiting_for_a_slow_data_set_is_measured() -> None:
    def slow() -> Iterator[Any]:
        for _ in range(3):
            time.sleep(0.05)
            yield None

    batches = Waiting(slow())
    next(batches)
    next(batches)
    assert batches.spent() >= 0.1 and batches.spent() == 0
    list(batches)
    assert batches.spent() >= 0.05


def test_the_time_of_stages_counts_and_that_of_the_last_one_once(tmp_path: Path) -> None:
    """A run in stages keeps the log of the one that became its result beside those of all."""
    for stage, seconds in (("first", [1.0, 3.0]), ("second", [2.0, 5.0])):
        (tmp_path / stage).mkdir()
        lines = [json.dumps({"step": step, "seconds": value}) for step, value in enumerate(seconds)]
        (tmp_path / stage / "timing.jsonl").write_text("\n".join(lines) + "\n")
    assert seconds_trained(tmp_path) == 8.0
    (tmp_path / "timing.jsonl").write_bytes((tmp_path / "second" / "timing.jsonl").read_bytes())
    assert seconds_trained(tmp_path) == 8.0
    assert seconds_trained(tmp_path / "none") == 0
