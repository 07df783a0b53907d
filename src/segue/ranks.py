"""Processes that work together: their numbers, what they exchange, and statistics that must be equal on all of them.

Everything goes through Accelerate, which is imported only where it is used because most callers need torch alone. A
process that works alone pays for one look-up per call, creates no state and waits for nobody.
"""

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor

if TYPE_CHECKING:
    from accelerate import PartialState
    from torch.distributed import ProcessGroup

T = TypeVar("T")

IN_TRAINING = timedelta(minutes=10)
"""How long a process waits for the others in the middle of a step."""

BETWEEN_STAGES = timedelta(hours=6)
"""How long a process waits for one that measures, labels, fuses or checks alone."""

PULSE = 2.0
"""Seconds between two looks at whether the other processes are well."""

SILENT = 9
"""After how many looks without a sign of life a process is given up, which leaves time to end within half a minute."""

_patient: "dict[ProcessGroup, ProcessGroup]" = {}
"""Under the group of all processes, one of the same processes that waits longer."""

_watches: "list[_Watch]" = []


def several() -> bool:
    """Whether several processes work together and have met; being launched together is not enough."""
    return _state() is not None


def mean_over_ranks(value: Tensor) -> Tensor:
    """The mean of a floating-point statistic over all processes; the value itself if there is only one."""
    return _reduced(value, "mean")


def sum_over_ranks(value: Tensor) -> Tensor:
    """The sum of what all processes counted, however long that takes; the value itself if there is only one."""
    wait_for_all()
    return _reduced(value, "sum")


@torch.no_grad()
def from_first_rank(value: Tensor) -> Tensor:
    """The first process's value, on all processes."""
    if not several():
        return value
    from accelerate.utils import broadcast

    return cast(Tensor, broadcast(value.clone()))  # broadcasting overwrites its argument


def said_by_first_rank(value: T) -> T:
    """The first process's plain value, on all processes; slow, as :func:`of_all_ranks`."""
    if not several():
        return value
    from accelerate.utils import broadcast_object_list

    wait_for_all()
    box = [value if is_first_rank() else None]
    return cast(T, broadcast_object_list(box)[0])


def made_by_first_rank(make: Callable[[], T]) -> T:
    """What the first process makes, small when pickled, on all; :func:`failing_together` ends them if it fails."""
    return cast(T, said_by_first_rank(make() if is_first_rank() else None))


@torch.no_grad()
def share_first(tensors: Iterable[Tensor]) -> None:
    """Replace tensors of any type, on all processes, by the first one's of the same shapes, a tensor at a time."""
    if not several():
        return
    from accelerate.utils import broadcast

    for tensor in tensors:
        if tensor.numel():
            # As bytes, because not every backend sends every type.
            flat = tensor.detach().clone(memory_format=torch.contiguous_format).view(-1).view(torch.uint8)
            sent = cast(Tensor, broadcast(flat))
            tensor.copy_(sent.view(tensor.dtype).view(tensor.shape))


@torch.no_grad()
def share_largest(value: Tensor) -> None:
    """Replace a tensor, on all processes, by its largest values on any of them."""
    if not several():
        return
    from accelerate.utils import gather

    # Not reduce(value, "max"): before May 2026 Accelerate's took every word but "mean" for a sum.
    value.copy_(cast(Tensor, gather(value[None])).amax(0))


@torch.no_grad()
def gathered(value: Tensor) -> Tensor:
    """What all processes have, one after the other along the first axis, which must be as long everywhere."""
    if not several():
        return value
    from accelerate.utils import gather

    return cast(Tensor, gather(value))


def of_all_ranks(value: T) -> list[T]:
    """Each process's plain value, in the order of ranks; slow, so only for places where waiting does no harm."""
    if not several():
        return [value]
    from accelerate.utils import gather_object

    wait_for_all()
    return gather_object([value])  # Accelerate joins the lists of all processes


def sum_with_gradient(value: Tensor) -> Tensor:
    """The sum over all processes, through which gradients flow back to each; the value itself if there is only one."""
    return cast(Tensor, _Sum.apply(value)) if several() else value


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:  # type: ignore[override]
        return _reduced(value, "sum")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return _reduced(gradient.contiguous(), "sum")


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


def join(*, cpu: bool, timeout: timedelta = IN_TRAINING) -> torch.device:
    """Meet the other processes of the launch, if there are any, and return the device that this one works on.

    ``cpu`` ignores accelerators; ``timeout`` is how long a process waits for the others in the middle of a step. Later
    calls only return the device.
    """
    from accelerate import PartialState

    state = PartialState(cpu=cpu, timeout=timeout)
    if state.num_processes > 1:
        from torch import distributed

        everybody = distributed.group.WORLD
        if everybody is not None and everybody not in _patient:
            forget_meeting()
            # On the host, whatever the devices speak: waiting for hours then keeps no device busy.
            patient = distributed.new_group(backend="gloo", timeout=BETWEEN_STAGES)
            _patient[everybody] = cast("ProcessGroup", patient)
            atexit.register(forget_meeting)
    return state.device or torch.device("cpu")


def forget_meeting() -> None:
    """Drop the group that waits longer: a process whose interpreter ends before the group's threads is aborted.

    Happens by itself when a process ends; whoever destroys the group of all processes calls this first.
    """
    _patient.clear()


@contextmanager
def failing_together(*, cpu: bool) -> Generator[None]:
    """Within, a process that fails takes all others with it within half a minute, and one message says why.

    The process that fails first raises its error; the others exit with code 2 and say nothing, even if they are
    waiting for it in the middle of a step. A process that is killed, or whose machine is, counts as failed once it has
    been silent for a while. The processes meet at the beginning and wait for one another at the end; one alone does
    neither.

    Raises:
        OSError: If a process was lost without a word.
    """
    if _watches or launched()[1] == 1:
        yield
        return
    join(cpu=cpu)
    if not several():
        yield
        return
    watch = _Watch()
    _watches.append(watch)
    try:
        yield
        watch.leave()
    except BaseException as error:
        lost = _loss(error)
        unheard = lost is not None or isinstance(error, SystemExit)
        if not watch.is_first_to_fail(str(error) or type(error).__name__, unheard=unheard):
            raise SystemExit(2) from None
        if lost is not None:
            raise OSError(lost) from error
        raise
    finally:
        watch.end()
        _watches.remove(watch)


class _Watch:
    """A thread that says every few seconds that this process is well, and ends it once another one is not.

    It speaks through a store of its own, since the main thread may be waiting inside a communication that will never
    end; for the same reason it ends the process without asking the main thread.
    """

    def __init__(self) -> None:
        from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

        self.rank, self.processes = rank(), processes()
        address = os.environ.get("MASTER_ADDR", "localhost")
        patience = timedelta(seconds=PULSE * SILENT)
        server = None
        if self.rank == 0:
            server = TCPStore(address, 0, is_master=True, wait_for_workers=False, timeout=patience)
        port = said_by_first_rank(0 if server is None else server.port)
        self.store = server or TCPStore(address, port, is_master=False, timeout=patience)
        self.beats = [f"beat/{number}" for number in range(self.processes)]
        self.store.set(self.beats[self.rank], "0")
        wait_for_all()
        self.is_over = threading.Event()
        self.is_leaving = False
        self.thread = threading.Thread(target=self._look, name="segue-watch", daemon=True)
        self.thread.start()

    def is_first_to_fail(self, message: str, *, unheard: bool) -> bool:
        """Tell the others that this process fails; whether none has before, so that this one is to say why.

        ``unheard`` says that another process may have more to say.
        """
        self.is_over.set()  # from here on the main thread ends the process
        if unheard:
            time.sleep(PULSE)
        try:
            first = self.store.compare_set("failed", "", f"{self.rank} {message}")
            is_first = first == f"{self.rank} {message}".encode()
            if self.rank == 0:
                time.sleep(2 * PULSE)  # the store goes with this process: the others are to read it before
            return is_first
        except RuntimeError:  # the first process is gone, and the store with it
            return self.rank == 1

    def leave(self) -> None:
        """Wait for the others; from then on it is no failure if one is not there."""
        self.is_leaving = True
        wait_for_all()

    def end(self) -> None:
        """Stop looking."""
        self.is_over.set()
        self.thread.join(PULSE * 2)

    def _look(self) -> None:
        before = [b""] * self.processes
        silent = [0] * self.processes
        number = 0
        # Looks are counted, not seconds: neither a changed clock nor a machine that slept looks like a silence.
        while not self.is_over.wait(PULSE):
            number += 1
            try:
                self.store.set(self.beats[self.rank], str(number))
                if self.store.check(["failed"]):
                    os._exit(2)
                if self.rank > 0:
                    continue
                now = self.store.multi_get(self.beats)
            except RuntimeError:
                if self.is_leaving or self.is_over.is_set():
                    return
                self._give_up("process 0 was lost", speaks=self.rank == 1)
            else:
                silent = [count + 1 if a == b else 0 for count, a, b in zip(silent, before, now, strict=True)]
                before = now
                if max(silent) >= SILENT:
                    lost = silent.index(max(silent))
                    self.store.set("failed", f"{lost} was lost")
                    time.sleep(2 * PULSE)
                    self._give_up(f"process {lost} was lost", speaks=True)

    def _give_up(self, what: str, *, speaks: bool) -> None:
        if speaks:
            print(f"segue: {what}; {GO_ON}", file=sys.stderr, flush=True)
        os._exit(2)


GO_ON = "the same command goes on from the newest checkpoint"


def _loss(error: BaseException) -> str | None:
    """What to say of an error that only means that another process is gone; None for any other error."""
    said = str(error)
    if isinstance(error, RuntimeError) and (
        "gloo" in said.lower() or type(error).__name__.startswith("Dist")
    ):
        return f"another process was lost ({said.splitlines()[0][:120]}); {GO_ON}"
    return None


def launched() -> tuple[int, int, int]:
    """This process's rank, the number of processes, and its rank on its machine; does not meet the others."""
    from accelerate.utils import get_cpu_distributed_information

    launch = get_cpu_distributed_information()  # reads the environment variables of torchrun and of MPI
    return launch.rank, max(1, launch.world_size), launch.local_rank


def machine_processes() -> int:
    """How many processes of the launch share this machine."""
    from accelerate.utils import get_cpu_distributed_information

    return max(1, get_cpu_distributed_information().local_world_size)


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
    """Return once all processes have called this, however long one of them works alone before."""
    state = _state()
    if state is None:
        return
    from torch import distributed

    everybody = distributed.group.WORLD
    if everybody is not None and everybody in _patient:
        distributed.barrier(_patient[everybody])
    else:
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
    state = _state()
    if state is None:
        return value
    from accelerate.utils import reduce

    # NCCL takes no tensors of the processor.
    return cast(Tensor, reduce(value.to(state.device), how)).to(value.device)
