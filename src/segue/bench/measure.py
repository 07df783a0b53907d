"""How this project measures: ours and a peer's, in turns or in fresh processes, and the ratio.

In all benchmarks ``size`` is the side of pictures or crops in pixels, ``batch`` the number of pictures (of each domain
in a step), and ``repeats`` the number of timed calls, which follow one or two to warm up.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import get_context
from typing import Any, NotRequired, TypedDict

import torch

from segue import machine
from segue.memory import highest_mib, keep_memory


def benchmark_device(name: str | None = None) -> torch.device:
    """The named device, or the accelerator if there is one; from here on this process keeps freed memory."""
    keep_memory()
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


class Benchmark(TypedDict):
    """One line of a benchmark.

    Attributes:
        ratio: Ours over the peer's: below 1 is cheaper.
        spread: The lowest and the highest ratio of a turn, where there were turns.
        peer_range: The peer's slowest less its fastest turn, over its median: how quiet the machine was.
        goal: The highest ratio that is aimed at, where there is an aim.
    """

    name: str
    value: float
    unit: str
    peer: str
    peer_value: float
    ratio: float
    spread: NotRequired[list[float]]
    peer_range: NotRequired[float]
    goal: NotRequired[float]


def benchmark(name: str, value: float, *, unit: str, peer: str, peer_value: float) -> Benchmark:
    """A line of a benchmark, with its ratio."""
    return Benchmark(
        name=name, value=value, unit=unit, peer=peer, peer_value=peer_value, ratio=value / peer_value
    )


def compared(name: str, own: Sequence[float], others: Sequence[float], *, unit: str, peer: str) -> Benchmark:
    """A line of a benchmark from values of the same turns: medians, their ratio, and its spread over the turns."""
    line = benchmark(name, statistics.median(own), unit=unit, peer=peer, peer_value=statistics.median(others))
    ratios = [mine / other for mine, other in zip(own, others, strict=True)]
    line["spread"] = [min(ratios), max(ratios)]
    line["peer_range"] = (max(others) - min(others)) / line["peer_value"]
    return line


def compared_all(
    names: Mapping[str, str],
    times: Mapping[str, Sequence[float]],
    against: str,
    *,
    peer: str,
    unit: str = "ms",
) -> list[Benchmark]:
    """Lines from times that were taken in turns: that of each key under the name given for it, all against one."""
    return [compared(name, times[key], times[against], unit=unit, peer=peer) for key, name in names.items()]


def machine_facts() -> dict[str, Any]:
    """What decides how fast this process is: the machine, the versions, the threads, and a GPU if there is one."""
    facts = machine.facts() | {"torch": torch.__version__, "threads": torch.get_num_threads()}
    if torch.cuda.is_available():
        capability = ".".join(map(str, torch.cuda.get_device_capability()))
        facts |= {"gpu": torch.cuda.get_device_name(), "capability": capability, "cuda": torch.version.cuda}
    return facts


def peak_mib(work: Callable[..., object], *arguments: object) -> float:
    """The peak of memory of a fresh process that does something.

    Args:
        work: A function of a module, with the device that it is to run on as its last argument.
        arguments: Its arguments before that.

    Returns:
        MiB: memory of the device on an accelerator, resident memory of the whole process otherwise.
    """
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_of, (work, arguments))


def _peak_of(work: Callable[..., object], arguments: tuple[object, ...]) -> float:
    device = benchmark_device()
    work(*arguments, device)
    return torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else highest_mib()
