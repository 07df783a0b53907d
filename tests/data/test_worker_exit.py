"""A worker that was spawned does not tear its interpreter down, where torch's threads may abort it."""

import subprocess
import sys

import pytest

WORKER = """
import sys
from segue.data import loader


class Late:
    def __del__(self) -> None:
        print("torn down")


late = Late()
if len(sys.argv) > 1:
    loader._prepare_worker(0)
print("done", flush=True)
"""


@pytest.mark.parametrize("is_worker", [True, False])
def test_the_interpreter_of_a_worker_is_not_torn_down(is_worker: bool) -> None:
    """What is still there at the end goes unnoticed, as it would not in any other process."""
    arguments = [sys.executable, "-c", WORKER, *(["worker"] if is_worker else [])]
    ended = subprocess.run(arguments, capture_output=True, text=True, check=True)
    said = ended.stdout.splitlines()
    assert "done" in said and ("torn down" in said) is not is_worker, ended
