"""Processes that work together: who is who, what they share, and statistics that must be equal on all of them.

All of it is Accelerate's. It is imported where it is used, as much else here needs torch alone; a process that works
alone pays for one look-up a call, creates no state and waits for nobody.
"""

import sys
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar, cast

import torch
from torch import Tensor

if TYPE_CHECKING:
    from accelerate import PartialState

T = TypeVar("T")


def several() -> bool:
    """Whether processes have met that work together; a launch alone is no meeting."""
    return _state() is not None


def mean_over_ranks(value: Tensor) -> Tensor:
    """The mean of a floating-point statistic over all processes; the value itself when there is one process."""
    return _reduced(value, "mean") if several() else value


def sum_over_ranks(value: Tensor) -> Tensor:
    """The sum of what all processes counted; the value itself when there is one process."""
    return _reduced(value, "sum") if several() else value


@torch.no_grad()
def from_first_rank(value: Tensor) -> Tensor:
    """The first process's value on all processes; the value itself when there is one process."""
    if not several():
        return value
    from accelerate.utils import broadcast

    return cast(Tensor, broadcast(value.clone()))  # what is handed over is written to


@torch.no_grad()
def share_largest(value: Tensor) -> None:
    """Put the largest value of any process into the tensor on all processes."""
    if not several():
        return
    from accelerate.utils import gather

    # Not reduce(value, "max"): before May 2026 Accelerate's took every word but "mean" for a sum.
    value.copy_(cast(Tensor, gather(value[None])).amax(0))


def of_all_ranks(value: T) -> list[T]:
    """What each process says, in their order: plain values, and only where waiting is no matter."""
    if not several():
        return [value]
    from accelerate.utils import gather_object

    return gather_object([value])  # it joins the processes' lists


@torch.no_grad()
def average_over_ranks(tensors: Iterable[Tensor]) -> None:
    """Put the mean over all processes into floating-point tensors, in one communication.

    Running statistics of batch norms are averaged so after each step: every process normalises by all
    processes' pictures, and a checkpoint of the first one speaks for all.
    """
    if not several():
        return
    own = [tensor for tensor in tensors if tensor.is_floating_point()]
    if not own:
        return
    flat = mean_over_ranks(torch.cat([tensor.float().flatten() for tensor in own]))
    pieces = flat.split([tensor.numel() for tensor in own])
    for tensor, piece in zip(own, pieces, strict=True):
        tensor.copy_(piece.view_as(tensor))


def join(*, cpu: bool, timeout: timedelta) -> torch.device:
    """Meet the other processes of a launch, if there are any, and say where this one works.

    Args:
        cpu: Whether to stay on the processor.
        timeout: How long any process waits for another one.
    """
    from accelerate import PartialState

    return PartialState(cpu=cpu, timeout=timeout).device or torch.device("cpu")


def launched() -> tuple[int, int, int]:
    """What the launcher says, without meeting anybody: this process, how many there are, its place on its machine."""
    from accelerate.utils import (
        get_cpu_distributed_information,  # it reads torchrun's variables and those of MPI
    )

    said = get_cpu_distributed_information()
    return said.rank, max(1, said.world_size), said.local_rank


def rank() -> int:
    """This process's number."""
    state = _state()
    return 0 if state is None else state.process_index


def processes() -> int:
    """How many work together."""
    state = _state()
    return 1 if state is None else state.num_processes


def is_first_rank() -> bool:
    """Whether this process is the one that writes and prints."""
    return rank() == 0


def wait_for_all() -> None:
    """Return when all processes have come here."""
    state = _state()
    if state is not None:
        state.wait_for_everyone()


def own_share(items: int) -> range:
    """Which of so many items this process works on: every one belongs to exactly one process."""
    return range(rank(), items, processes())


def _state() -> "PartialState | None":
    """Accelerate's state if several processes have met.

    It is looked up, not constructed: the first construction would meet the others, and set the device.
    """
    accelerate = sys.modules.get("accelerate.state")
    if accelerate is None or accelerate.PartialState._shared_state.get("num_processes", 1) == 1:
        return None
    return accelerate.PartialState()


def _reduced(value: Tensor, how: str) -> Tensor:
    """A new tensor: Accelerate reduces a copy."""
    from accelerate.utils import reduce

    return cast(Tensor, reduce(value, how))
