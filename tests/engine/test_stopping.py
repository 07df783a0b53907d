"""Ctrl-C and SIGTERM save before they stop, within half a minute, and the run goes on bit-equal; a longer one, too.

A signal goes to the whole group of processes, workers included, as terminals and schedulers send it.
"""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console
from tests.tiny import QUIET, assert_same_tensors, tiny

from segue.engine.checkpoint import list_checkpoints
from segue.engine.run import train
from segue.engine.stopping import Stopping

SETTINGS = {"steps": 40, "run": {"save_every": 1000, "draw_every": 0},
            "data": {"workers": 1, "source_evaluation": None}}  # fmt: skip
PROGRAM = f"""
SETTINGS = {SETTINGS}
import sys
from pathlib import Path
import torch
from rich.console import Console
from segue.cli import main
from segue.engine.run import train
from tests.tiny import tiny
torch.set_num_threads(1)
@main.app.command("run")
def run() -> None:
    train(tiny("dacs", SETTINGS), FOLDER, console=Console(), cpu=True)
FOLDER, sys.argv = Path(sys.argv[1]), ["segue", "run"]
main.main()
"""
ROOT = Path(__file__).resolve().parents[2]


def start(folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)], cwd=ROOT, env=environment, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def stopped(folder: Path, number: signal.Signals, code: int) -> int:
    """Stop a run after its first steps; returns the step that it saved."""
    process = start(folder)
    rows = folder / "metrics.jsonl"
    before = len(rows.read_text()) if rows.is_file() else 0
    while process.poll() is None and not (rows.is_file() and len(rows.read_text()) > before + 300):
        time.sleep(0.02)
    os.killpg(process.pid, number)
    said, wrong = process.communicate(timeout=300)
    assert process.returncode == code, wrong
    assert "Traceback" not in wrong, wrong
    step = int(list_checkpoints(folder / "checkpoints")[-1].name)
    assert f"saved step {step} of 40" in said
    return step


@pytest.mark.slow
def test_both_signals_save_and_the_run_goes_on_bit_equal(tmp_path: Path) -> None:
    first = stopped(tmp_path / "stopped", signal.SIGTERM, 143)
    assert 0 < first < 40
    assert first < stopped(tmp_path / "stopped", signal.SIGINT, 130) < 40
    for name in ("stopped", "whole"):
        train(tiny("dacs", SETTINGS), tmp_path / name, console=QUIET, cpu=True)
    for name in ("method", "optimizer"):
        file = f"checkpoints/0000040/{name}.safetensors"
        assert_same_tensors(tmp_path / "whole" / file, tmp_path / "stopped" / file)
    assert (tmp_path / "whole/metrics.jsonl").read_text() == (tmp_path / "stopped/metrics.jsonl").read_text()


def test_a_step_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segue.engine.stopping.PATIENCE", 0.2)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, Stopping() as stopping:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping.asked == signal.SIGTERM
        time.sleep(30)
    assert ended.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_wish_ends_at_once_and_other_threads_are_left_alone() -> None:
    with pytest.raises(KeyboardInterrupt), Stopping():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
    entered: list[bool] = []

    def elsewhere() -> None:
        with Stopping():
            entered.append(True)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert entered


def test_more_steps_go_on_and_fewer_or_others_do_not(tmp_path: Path) -> None:
    console = Console(file=io.StringIO())
    quick = {"data": {"source_evaluation": None, "evaluation": None}}
    train(tiny("source_only", quick), tmp_path, console=console, cpu=True)
    train(tiny("source_only", quick, {"steps": 5}), tmp_path, console=console, cpu=True)
    assert "was planned for 3 steps and goes on to 5" in console.file.getvalue()
    assert list_checkpoints(tmp_path / "checkpoints")[-1].name == "0000005"
    assert json.loads((tmp_path / "extended.json").read_text()) == [{"from": 3, "to": 5}]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 5
    assert json.loads((tmp_path / "model/card.json").read_text())["step"] == 5
    for other in ({"steps": 4}, {"steps": 9, "seed": 1}):
        with pytest.raises(ValueError, match="holds another experiment"):
            train(tiny("source_only", quick, other), tmp_path, console=console, cpu=True)


def test_no_foreign_checkpoint_is_adopted(tmp_path: Path) -> None:
    quick = {"data": {"source_evaluation": None, "evaluation": None}}
    for name, seed in (("one", 0), ("other", 1)):
        train(tiny("source_only", quick, {"seed": seed}), tmp_path / name, console=QUIET, cpu=True)
    shutil.rmtree(tmp_path / "other/checkpoints")
    shutil.copytree(tmp_path / "one/checkpoints", tmp_path / "other/checkpoints")
    shutil.copytree(tmp_path / "one/checkpoints", tmp_path / "new/checkpoints")
    for name in ("other", "new"):
        with pytest.raises(ValueError, match="0000003 is another run's: remove it"):
            train(tiny("source_only", quick, {"seed": 1}), tmp_path / name, console=QUIET, cpu=True)
    shutil.copytree(tmp_path / "one", tmp_path / "copy")  # a whole run folder may be copied
    train(tiny("source_only", quick, {"steps": 4}), tmp_path / "copy", console=QUIET, cpu=True)
