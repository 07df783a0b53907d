"""Benchmarks take turns, leave warm-up out, divide ours by the peer's, and measure the peak of the work alone."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from segue.bench import noise
from segue.bench.measure import benchmark, compared, peak_mib
from segue.clock import in_turns, median_ms


def test_functions_take_turns():
    calls = []
    median_ms({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=2, warm_up=1)
    assert "".join(calls) == "baabba"


def test_median_leaves_warm_up_out():
    pauses = iter([0.05, 0.001, 0.002, 0.05])
    times = median_ms({"sleep": lambda: time.sleep(next(pauses))}, repeats=3, warm_up=1)
    assert 1.5 < times["sleep"] < 20


def test_ratio():
    line = benchmark("x", 3.0, unit="ms", peer="them", peer_value=4.0)
    assert line["ratio"] == 0.75
    assert set(line) == {"name", "value", "unit", "peer", "peer_value", "ratio"}


def test_results_are_kept_turn_by_turn():
    numbers = {"a": iter(range(10)), "b": iter(range(10))}
    runs = {name: lambda values=values: next(values) for name, values in numbers.items()}
    assert in_turns(runs, repeats=2, warm_up=1) == {"a": [1, 2], "b": [1, 2]}


def test_spread_is_that_of_the_turns():
    line = compared("x", [2.0, 3.0, 40.0], [4.0, 4.0, 40.0], unit="ms", peer="them")
    assert (line["value"], line["peer_value"], line["ratio"]) == (3.0, 4.0, 0.75)
    assert line["spread"] == pytest.approx([0.5, 1.0])
    assert line["peer_range"] == pytest.approx(9.0)


BUSY = "import time\nwhile time.process_time() < 0.5: pass"


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="only Linux says what others use")
def test_own_processes_are_no_others():
    """A child's work counts as ours, also when it has ended; that of a process that is nobody's child is foreign."""
    start = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]])"
    before, foreign = noise._own_ticks(), noise._foreign_seconds()
    subprocess.run([sys.executable, "-c", BUSY], check=True)
    between = noise._own_ticks()
    assert between - before >= 0.4 * os.sysconf("SC_CLK_TCK")
    with noise.others() as seen:
        # Whoever starts it ends at once, so that it belongs to this process no more.
        subprocess.run([sys.executable, "-c", start, BUSY], check=True)
        until = time.monotonic() + 60
        while noise._foreign_seconds() - foreign < 0.4 and time.monotonic() < until:
            time.sleep(0.05)
    assert seen.share is not None and 0 < seen.share <= 1


MIB = 2**20


def fill(mebibytes: int, device: torch.device) -> None:
    torch.ones(mebibytes * MIB, dtype=torch.uint8, device=device)


@pytest.mark.slow
def test_a_peak_is_what_the_work_needs_and_not_its_large_parent() -> None:
    ballast = torch.ones(1024 * MIB, dtype=torch.uint8)
    small, large = peak_mib(fill, 1), peak_mib(fill, 300)
    assert small < ballast.numel() / MIB, "the mark is the parent's"
    assert 250 < large - small < 350
