"""A process that fails, is killed or hangs takes the others with it within 30 seconds, and one message says why.

The pairs are waited for much longer than that, as a busy machine is slow to end them; what sets the time is looked at.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from segue import ranks
from tests.processes import POSIX

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 300.0
Pairs = Callable[[int, str, str], list[subprocess.Popen[str]]]

PROGRAM = """
import os, signal, sys, torch
from segue import ranks
torch.set_num_threads(1)
try:
    with ranks.failing_together(cpu=True):
        print("met", flush=True)
        sys.stdin.readline()
        if ranks.rank() == {failing}:
            {deed}
        ranks.{waits}
except (ValueError, OSError) as error:
    print("segue:", error, file=sys.stderr)
    sys.exit(2)
"""


def launch(program: str) -> list[subprocess.Popen[str]]:
    """Two processes, launched without anything that would end one when the other ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    places = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    environment = os.environ | places | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    environment |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )
        for rank in range(2)
    ]


def go_on_together(processes: list[subprocess.Popen[str]]) -> float:
    """Wait until each has met its other, and let all go on at once; returns when that was."""
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "met\n"
    began = time.monotonic()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return began


def ended(process: subprocess.Popen[str], began: float) -> tuple[int, str]:
    """The exit code and what was said; waits as long as a busy machine needs."""
    _, said = process.communicate(timeout=max(0.0, began + PATIENCE - time.monotonic()))
    return process.returncode, said


STEP, STAGE = "mean_over_ranks(torch.ones(1))", "wait_for_all()"
ERROR, KILL = "raise ValueError('frame_7.png: no picture')", "os.kill(os.getpid(), signal.SIGKILL)"


@pytest.fixture
def pairs() -> Iterator[Pairs]:
    """Launches pairs of processes, none of which outlives the test."""
    launched: list[subprocess.Popen[str]] = []

    def pair(failing: int, deed: str, waits: str) -> list[subprocess.Popen[str]]:
        launched.extend(found := launch(PROGRAM.format(failing=failing, deed=deed, waits=waits)))
        return found

    yield pair
    for process in launched:
        process.kill()
        process.communicate()


def test_a_silent_process_is_given_up_within_half_a_minute() -> None:
    assert ranks.PULSE * (ranks.SILENT + 1) < 30


@pytest.mark.slow
@POSIX
def test_an_error_ends_both_and_is_told_once(pairs: Pairs) -> None:
    """Of either process, in a step or between stages. The pairs run beside each other: most of it is waiting."""
    cases = [pairs(failing, ERROR, waits) for failing in (0, 1) for waits in (STEP, STAGE)]
    began = go_on_together([process for processes in cases for process in processes])
    for processes in cases:
        ends = [ended(process, began) for process in processes]
        assert [code for code, _ in ends] == [2, 2]
        assert "".join(said for _, said in ends) == "segue: frame_7.png: no picture\n"


@pytest.mark.slow
@POSIX
def test_a_process_that_is_killed_or_no_longer_answers_ends_the_other(pairs: Pairs) -> None:
    """One that no longer answers is as if its machine had lost power: no connection is closed. A pair of which none
    fails ends well.
    """
    killed = {failing: pairs(failing, KILL, STEP) for failing in (0, 1)}
    left, silent = pairs(1, "os.kill(os.getpid(), signal.SIGSTOP)", STAGE)
    well = pairs(9, "pass", STAGE)
    began = go_on_together([*killed[0], *killed[1], left, silent, *well])
    for failing, processes in killed.items():
        ends = [ended(process, began) for process in processes]
        assert ends[failing][0] == -signal.SIGKILL and ends[1 - failing][0] == 2
        own = [line for _, said in ends for line in said.splitlines() if line.startswith("segue: ")]
        assert (
            len(own) == 1 and "lost" in own[0] and "newest checkpoint" in own[0]
        )  # torch may have more to say
    assert [ended(process, began)[0] for process in well] == [0, 0]
    code, said = ended(left, began)
    assert code == 2 and said.startswith("segue: process 1 was lost; ") and len(said.splitlines()) == 1
