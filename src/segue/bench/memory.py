"""The most memory that a piece of work needs, measured in a fresh process."""

import multiprocessing
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from segue.memory import keep_memory


def peak_mib(work: Callable[..., object], *arguments: object) -> float:
    """Do something in a process of its own and see how high its memory rose.

    Args:
        work: A function of a module, with the device it is to run on as its last argument.
        arguments: What it is called with before that.

    Returns:
        MiB: memory of the device on an accelerator, resident memory of the whole process otherwise.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (work, arguments))


def _measured(work: Callable[..., object], arguments: tuple[object, ...]) -> float:
    keep_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    work(*arguments, device)
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return _highest_mib()


def _highest_mib() -> float:
    """The most resident memory that this process has had.

    On Linux ``getrusage`` does not say that: its mark goes from parent to child and starts at the parent's size. The
    one in /proc belongs to the memory itself, which is new with the program that the child runs.
    """
    status = Path("/proc/self/status")
    if status.exists():
        marks = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        if "VmHWM" in marks:
            return int(marks["VmHWM"].split()[0]) / 2**10
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest / (2**20 if sys.platform == "darwin" else 2**10)
