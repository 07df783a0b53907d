"""A process that fails, is killed or hangs takes the others with it within 30 seconds, and one message says why."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes import POSIX

ROOT = Path(__file__).resolve().parents[1]
WITHIN = 30.0

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


def until_the_end(processes: list[subprocess.Popen[str]]) -> tuple[list[int], str, float]:
    """The exit codes, what was said, and the seconds since both had met."""
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "met\n"
    began = time.monotonic()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    try:
        ends = [process.communicate(timeout=3 * WITHIN) for process in processes]
        return (
            [process.returncode for process in processes],
            "".join(end[1] for end in ends),
            time.monotonic() - began,
        )
    finally:
        for process in processes:
            process.kill()
            process.wait()


WAITS = {"step": "mean_over_ranks(torch.ones(1))", "stage": "wait_for_all()"}


@pytest.mark.slow
@POSIX
@pytest.mark.parametrize("waits", list(WAITS))
@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_ends_both_and_is_told_once(failing: int, waits: str) -> None:
    deed = "raise ValueError('frame_7.png: no picture')"
    codes, said, took = until_the_end(launch(PROGRAM.format(failing=failing, deed=deed, waits=WAITS[waits])))
    assert codes == [2, 2] and said == "segue: frame_7.png: no picture\n" and took < WITHIN


@pytest.mark.slow
@POSIX
@pytest.mark.parametrize("failing", [0, 1])
def test_a_killed_process_ends_the_other(failing: int) -> None:
    deed = "os.kill(os.getpid(), signal.SIGKILL)"
    codes, said, took = until_the_end(launch(PROGRAM.format(failing=failing, deed=deed, waits=WAITS["step"])))
    assert codes[failing] == -signal.SIGKILL and codes[1 - failing] == 2 and took < WITHIN
    own = [line for line in said.splitlines() if line.startswith("segue: ")]  # torch may have more to say
    assert len(own) == 1 and "lost" in own[0] and "newest checkpoint" in own[0]


@pytest.mark.slow
@POSIX
def test_a_process_that_no_longer_answers_is_given_up() -> None:
    """As if its machine had lost power: no connection is closed."""
    processes = launch(PROGRAM.format(failing=9, deed="pass", waits=WAITS["stage"]))
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "met\n"
    processes[1].send_signal(signal.SIGSTOP)
    assert processes[0].stdin is not None
    began = time.monotonic()
    try:
        _, said = processes[0].communicate("go\n", timeout=3 * WITHIN)
        assert processes[0].returncode == 2 and time.monotonic() - began < WITHIN
        assert said.startswith("segue: process 1 was lost; ") and len(said.splitlines()) == 1
    finally:
        for process in processes:
            process.kill()
            process.communicate()
