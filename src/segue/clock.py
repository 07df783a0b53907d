"""How this project times things: once the device is done, in turns within one process, reported as medians."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch

T = TypeVar("T")


def now(device: torch.device | None = None) -> float:
    """Seconds on a monotonic clock, read once a device has finished its work; None for the usual device."""
    kind = device.type if device is not None else "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cuda":
        torch.cuda.synchronize(device)
    elif kind == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


def in_turns(runs: Mapping[str, Callable[[], T]], *, repeats: int, warm_up: int = 1) -> dict[str, list[T]]:
    """Call several functions in turns, so that a machine that slows down slows all of them.

    The results of ``repeats`` calls, made after ``warm_up`` others, are returned by name; the same place in two lists
    is the same turn.
    """
    results: dict[str, list[T]] = {name: [] for name in runs}
    for turn in range(warm_up + repeats):
        # The order alternates, so that no function always runs after the same neighbour.
        for name in list(runs) if turn % 2 else reversed(list(runs)):
            results[name].append(runs[name]())
    return {name: values[warm_up:] for name, values in results.items()}


def times_ms(
    runs: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    warm_up: int = 1,
    device: torch.device | None = None,
) -> dict[str, list[float]]:
    """The milliseconds of every call, by name, of functions called by ``in_turns``."""
    timed = {name: lambda run=run: _time_ms(run, device) for name, run in runs.items()}
    return in_turns(timed, repeats=repeats, warm_up=warm_up)


def median_ms(
    runs: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    warm_up: int = 1,
    device: torch.device | None = None,
) -> dict[str, float]:
    """The median milliseconds of a call, by name, of functions called by ``in_turns``."""
    times = times_ms(runs, repeats=repeats, warm_up=warm_up, device=device)
    return {name: statistics.median(values) for name, values in times.items()}


def _time_ms(run: Callable[[], object], device: torch.device | None) -> float:
    began = now(device)
    run()
    return 1000 * (now(device) - began)
