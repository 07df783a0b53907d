"""The log: rows after the checkpoint are forgotten on resume, half a row is no row, pipes get plain lines."""

import io
import json
from pathlib import Path

from rich.console import Console

from segue.engine.log import RunLog, read_lines


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
