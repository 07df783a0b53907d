"""Starting: the import, the help, and a run up to its first step, beside importing a network of transformers."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from segue.bench.measure import Benchmark, compared_all
from segue.clock import in_turns, now

PEER = "python -c 'from transformers import SegformerForSemanticSegmentation'"

FEW = (
    "data.source.pictures=4", "data.target.pictures=4", "data.evaluation.pictures=1", "evaluation.pictures=1",
    "evidence.pictures=0", "run.log_every=1", "data.workers=0",
)  # fmt: skip
"""Settings with which a run of drawn street scenes is soon at its first step."""

LONGEST = 300
"""Seconds after which a run without a first step has failed."""


def rows(*, repeats: int = 3) -> list[Benchmark]:
    """Time fresh processes, each until it has ended, or a run until the line of its first step is in its log.

    Raises:
        ValueError: If the transformers library is not installed.
        RuntimeError: If a process fails.
    """
    from importlib.util import find_spec

    if find_spec("transformers") is None:
        raise ValueError("the startup benchmark needs transformers: pip install 'segue-uda[sam]'")
    runs: dict[str, Callable[[], float]] = {
        "import": lambda: _seconds("-c", "import segue"),
        "help": lambda: _seconds("-m", "segue", "--help"),
        "first_step": _until_first_step,
        "peer": lambda: _seconds("-c", "from transformers import SegformerForSemanticSegmentation"),
    }
    spent = in_turns(runs, repeats=repeats)
    times = {name: [1000 * one for one in values] for name, values in spent.items()}
    return compared_all(
        {name: f"startup_{name}" for name in runs if name != "peer"}, times, "peer", peer=PEER
    )


def _seconds(*arguments: str) -> float:
    began = now()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"python {' '.join(arguments)}: {done.stderr.strip().splitlines()[-1]}")
    return now() - began


def _until_first_step() -> float:
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "run"
        given = [part for setting in FEW for part in ("--set", setting)]
        command = [sys.executable, "-m", "segue", "train", "daformer", "--pair", "street_scenes"]
        command += ["--steps", "1000", "--out", str(out), *given]
        with (Path(temporary) / "said").open("w+") as said:
            began = now()
            process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
            try:
                return _seen(out / "metrics.jsonl", process, said) - began
            finally:
                process.kill()
                process.wait()


def _seen(log: Path, process: subprocess.Popen[bytes], said: TextIO) -> float:
    """When a process's log had its first line."""
    latest = now() + LONGEST
    while not (log.exists() and log.stat().st_size):
        if process.poll() is not None or now() > latest:
            said.seek(0)
            raise RuntimeError(f"segue train did not come to its first step: {said.read()[-300:]}")
        time.sleep(0.005)
    return now()
