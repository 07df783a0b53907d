"""Processes that work together: their numbers, what they exchange, and statistics that must be equal on all of them.

Everything goes through Accelerate, which is imported only where it is used because most callers need torch alone. A
process that works alone pays for one look-up per call, creates no state and waits for nobody.
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
    """Whether several processes work together and have met; being launched together is not enough."""
    return _state() is not None


def mean_over_ranks(value: Tensor) -> Tensor:
    """The mean of a floating-point statistic over all processes; the value itself if there is only one."""
    return _reduced(value, "mean")


def sum_over_ranks(value: Tensor) -> Tensor:
    """The sum of what all processes counted; the value itself if there is only one."""
    return _reduced(value, "sum")


@torch.no_grad()
def from_first_rank(value: Tensor) -> Tensor:
    """The first process's value, on all processes."""
    if not several():
        return value
    from accelerate.utils import broadcast

    return cast(Tensor, broadcast(value.clone()))  # broadcasting overwrites its argument


@torch.no_grad()
def share_largest(value: Tensor) -> None:
    """Replace a tensor, on all processes, by its largest values on any of them."""
    if not several():
        return
    from accelerate.utils import gather

    # Not reduce(value, "max"): before May 2026 Accelerate's took every word but "mean" for a sum.
    value.copy_(cast(Tensor, gather(value[None])).amax(0))


def of_all_ranks(value: T) -> list[T]:
    """Each process's plain value, in the order of ranks; slow, so only for places where waiting does no harm."""
    if not several():
        return [value]
    from accelerate.utils import gather_object

    return gather_object([value])  # Accelerate joins the lists of all processes


@torch.no_grad()
def average_over_ranks(tensors: Iterable[Tensor]) -> None:
    """Replace floating-point tensors by their means over all processes, in one communication.

    The running statistics of batch norms are averaged this way after each step, so that every process normalises by
    the pictures of all, and a checkpoint written by the first process holds for all.
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
    """Meet the other processes of the launch, if there are any, and return the device that this one works on.

    ``cpu`` ignores accelerators; ``timeout`` is how long a process waits for the others.
    """
    from accelerate import PartialState

    return PartialState(cpu=cpu, timeout=timeout).device or torch.device("cpu")


def launched() -> tuple[int, int, int]:
    """This process's rank, the number of processes, and its rank on its machine; does not meet the others."""
    from accelerate.utils import get_cpu_distributed_information

    launch = get_cpu_distributed_information()  # reads the environment variables of torchrun and of MPI
    return launch.rank, max(1, launch.world_size), launch.local_rank


def rank() -> int:
    """This process's number, from 0."""
    state = _state()
    return 0 if state is None else state.process_index


def processes() -> int:
    """How many processes work together."""
    state = _state()
    return 1 if state is None else state.num_processes


def is_first_rank() -> bool:
    """Whether this process writes and prints for all."""
    return rank() == 0


def wait_for_all() -> None:
    """Return once all processes have called this."""
    state = _state()
    if state is not None:
        state.wait_for_everyone()


def own_share(items: int) -> range:
    """The places of the items that this process works on; each item belongs to exactly one process."""
    return range(rank(), items, processes())


def _state() -> "PartialState | None":
    """Accelerate's state if several processes have met.

    It is looked up instead of constructed, because constructing it would make the processes meet and set the device.
    """
    accelerate = sys.modules.get("accelerate.state")
    if accelerate is None or accelerate.PartialState._shared_state.get("num_processes", 1) == 1:
        return None
    return accelerate.PartialState()


def _reduced(value: Tensor, how: str) -> Tensor:
    if not several():
        return value
    from accelerate.utils import reduce

    return cast(Tensor, reduce(value, how))
