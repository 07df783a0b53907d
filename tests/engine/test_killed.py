"""A run killed with SIGKILL at a random moment, again and again, ends bit-equal to one that was left alone."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.tiny import QUIET, assert_same_tensors, tiny

from segue.engine.run import train

SETTINGS = {"steps": 12, "run": {"save_every": 2, "draw_every": 5}, "data": {"workers": 1}}
PROGRAM = f"""
SETTINGS = {SETTINGS}
import io, sys
from pathlib import Path
import torch
from rich.console import Console
from segue.engine.run import train
from tests.tiny import tiny
torch.set_num_threads(1)
train(tiny("daformer", SETTINGS), Path(sys.argv[1]), console=Console(file=io.StringIO()), cpu=True)
"""
ROOT = Path(__file__).resolve().parents[2]


def start(folder: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)], cwd=ROOT, env=environment, start_new_session=True
    )


def kill_after_progress(folder: Path, patience: float) -> bool:
    """Kill the run some time after its first step was logged; False if it had already finished."""
    process = start(folder)
    rows = folder / "metrics.jsonl"
    before = rows.stat().st_size if rows.is_file() else 0
    while process.poll() is None and not (rows.is_file() and rows.stat().st_size > before):
        time.sleep(0.01)
    time.sleep(patience)
    was_running = process.poll() is None
    if was_running:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return was_running


@pytest.mark.slow
def test_killed_at_random(tmp_path: Path) -> None:
    train(tiny("daformer", SETTINGS), tmp_path / "whole", console=QUIET, cpu=True)
    dice = random.Random(os.getpid())
    killed = sum(kill_after_progress(tmp_path / "killed", dice.random() * 0.8) for _ in range(3))
    assert killed >= 1, "the run was never caught running"
    train(tiny("daformer", SETTINGS), tmp_path / "killed", console=QUIET, cpu=True)
    for name in ("method", "optimizer"):
        file = f"checkpoints/0000012/{name}.safetensors"
        assert_same_tensors(tmp_path / "whole" / file, tmp_path / "killed" / file)
    for name in ("metrics.jsonl", "scores.json", "model/model.safetensors", "experiment.yaml"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name
