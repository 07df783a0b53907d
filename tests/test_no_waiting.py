"""No recipe's step waits for its device: ``watched_steps.py``, in processes of its own.

A watched device must be registered before anything is differentiated for the first time: autograd counts devices then.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARTS = 2


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_no_step_waits_for_its_device(part: int) -> None:
    path = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    environment = os.environ | {"PART": f"{part}/{PARTS}", "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/watched_steps.py"],
        capture_output=True, text=True, timeout=900, cwd=ROOT, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
