"""Processes that work together: who is who, what they share, and statistics that must be equal on all of them."""

import os
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def mean_over_ranks(value: Tensor) -> Tensor:
    """The mean of a statistic over all processes; the value itself when there is one process."""
    return sum_over_ranks(value) / dist.get_world_size() if _several() else value


def sum_over_ranks(value: Tensor) -> Tensor:
    """The sum of what all processes counted; the value itself when there is one process."""
    if not _several():
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total


@torch.no_grad()
def from_first_rank(value: Tensor) -> Tensor:
    """The first process's value on all processes; the value itself when there is one process."""
    if not _several():
        return value
    shared = value.clone()
    dist.broadcast(shared, src=0)
    return shared


@torch.no_grad()
def share_largest(value: Tensor) -> None:
    """Put the largest value of any process into the tensor on all processes."""
    if _several():
        dist.all_reduce(value, op=dist.ReduceOp.MAX)


def of_all_ranks(value: T) -> list[T]:
    """What each process says, in their order: plain values, and only where waiting is no matter."""
    if not _several():
        return [value]
    said: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(said, value)
    return said


@torch.no_grad()
def average_over_ranks(tensors: Iterable[Tensor]) -> None:
    """Put the mean over all processes into floating-point tensors, in one communication.

    Running statistics of batch norms are averaged so after each step: every process normalises by all
    processes' pictures, and a checkpoint of the first one speaks for all.
    """
    own = [tensor for tensor in tensors if tensor.is_floating_point()]
    if not own or not _several():
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
    from accelerate import PartialState  # seconds to import, and only runs of several trainings begin here

    return PartialState(cpu=cpu, timeout=timeout).device or torch.device("cpu")


def launched() -> tuple[int, int, int]:
    """What the launcher says, without meeting anybody: this process, how many there are, its place on its machine."""
    rank, world, local = (int(os.environ.get(name, "0")) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    return rank, max(1, world), local


def rank() -> int:
    """This process's number."""
    return dist.get_rank() if _several() else 0


def processes() -> int:
    """How many work together."""
    return dist.get_world_size() if _several() else 1


def is_first_rank() -> bool:
    """Whether this process is the one that writes and prints."""
    return not _several() or dist.get_rank() == 0


def wait_for_all() -> None:
    """Return when all processes have come here."""
    if _several():
        dist.barrier()


def own_share(items: int) -> range:
    """Which of so many items this process works on: every one belongs to exactly one process."""
    return range(dist.get_rank(), items, dist.get_world_size()) if _several() else range(items)


def _several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
