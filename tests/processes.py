"""Two processes that meet on this machine, for what has to be equal to one."""

import os
import socket
import sys
from collections.abc import Callable
from datetime import timedelta
from types import ModuleType

import pytest
import torch
import torch.multiprocessing as mp
from accelerate.state import AcceleratorState, PartialState

from segue import ranks

TOGETHER = mp.get_context("forkserver" if "forkserver" in mp.get_all_start_methods() else "spawn")
"""Each process is a fresh one; what takes long to import has been imported once, by the process that they fork from."""

# What is imported on a first use only is named as well, so that no pair imports it again.
PRELOADED = [
    "accelerate",
    "segue.engine.stages",
    "torch._dynamo",
    "torchmetrics.classification",
    "tests.tiny",
]

if TOGETHER.get_start_method() == "forkserver":
    TOGETHER.set_forkserver_preload(PRELOADED)
MEETING = timedelta(minutes=5)
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="gloo over spawn is tested on POSIX systems")


def on_two(task: Callable[..., None], *arguments: object) -> None:
    """Call ``task(rank, *arguments)`` in two processes; it joins them itself, if it wants to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    method = TOGETHER.get_start_method()
    mp.start_processes(_one_of_two, (port, task, arguments), nprocs=2, start_method=method)


def quick_starts(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
    """Let the processes that a module of the package starts have the imports done, too; else each takes seconds."""
    monkeypatch.setattr(module, "get_context", lambda _: TOGETHER)


def forget_processes() -> None:
    """Let Accelerate find out anew who works together."""
    AcceleratorState._reset_state()
    PartialState._reset_state()


def _one_of_two(rank: int, port: str, task: Callable[..., None], arguments: tuple[object, ...]) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "ACCELERATE_USE_CPU": "true"}
    torch.set_num_threads(1)
    task(rank, *arguments)
    ranks.forget_meeting()
    PartialState().destroy_process_group()
