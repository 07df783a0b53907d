"""How this project measures: times of ours and a peer's in turns in one process, peaks of memory in fresh ones.

In all benchmarks ``size`` is the side of pictures or crops in pixels, ``batch`` the number of pictures (of each domain
in a step), and ``repeats`` the number of timed calls, which follow one or two to warm up.
"""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NotRequired, TypedDict, TypeVar

import torch

from segue.memory import highest_mib, keep_memory

T = TypeVar("T")


def benchmark_device(name: str | None = None) -> torch.device:
    """The named device, or the accelerator if there is one; from here on this process keeps freed memory."""
    keep_memory()
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


class Benchmark(TypedDict):
    """One line of a benchmark.

    Attributes:
        ratio: Ours over the peer's: below 1 is cheaper.
        spread: The lowest and the highest ratio of a turn, where there were turns.
    """

    name: str
    value: float
    unit: str
    peer: str
    peer_value: float
    ratio: float
    spread: NotRequired[list[float]]


def in_turns(runs: Mapping[str, Callable[[], T]], *, repeats: int, warm_up: int = 1) -> dict[str, list[T]]:
    """Call several functions in turns, so that a change of the machine's load affects all of them.

    Args:
        repeats: Calls of each whose results are kept.
        warm_up: Calls of each before those.

    Returns:
        What the calls returned, by name; the same index in two lists is the same turn.
    """
    results: dict[str, list[T]] = {name: [] for name in runs}
    for turn in range(warm_up + repeats):
        # Every other turn runs backwards, so that no function always follows the same one.
        for name in list(runs) if turn % 2 else reversed(list(runs)):
            results[name].append(runs[name]())
    return {name: values[warm_up:] for name, values in results.items()}


def times_ms(
    runs: Mapping[str, Callable[[], object]], *, repeats: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """The time of every call in milliseconds, by name, of functions called in turns; see ``in_turns``."""
    timed = {name: lambda run=run: _time_ms(run) for name, run in runs.items()}
    return in_turns(timed, repeats=repeats, warm_up=warm_up)


def median_ms(
    runs: Mapping[str, Callable[[], object]], *, repeats: int, warm_up: int = 1
) -> dict[str, float]:
    """The median time of a call in milliseconds, by name, of functions called in turns; see ``in_turns``."""
    times = times_ms(runs, repeats=repeats, warm_up=warm_up)
    return {name: statistics.median(values) for name, values in times.items()}


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
    return line


def peak_mib(work: Callable[..., object], *arguments: object) -> float:
    """The peak of memory of a fresh process that does something.

    Args:
        work: A function of a module, with the device that it is to run on as its last argument.
        arguments: Its arguments before that.

    Returns:
        MiB: memory of the device on an accelerator, resident memory of the whole process otherwise.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_of, (work, arguments))


def _peak_of(work: Callable[..., object], arguments: tuple[object, ...]) -> float:
    device = benchmark_device()
    work(*arguments, device)
    return torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else highest_mib()


def _time_ms(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - began)
