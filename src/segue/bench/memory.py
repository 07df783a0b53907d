"""The most memory that a piece of work needs, measured in a fresh process."""

import multiprocessing
from collections.abc import Callable

import torch

from segue.memory import highest_mib, keep_memory


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
    return highest_mib()
