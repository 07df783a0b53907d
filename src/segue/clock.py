"""How this project times things: when devices are done, ours and a peer's in turns, in one process, medians."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch

T = TypeVar("T")


def now(device: torch.device | None = None) -> float:
    """Seconds on a clock that only runs forward, read when a device is done with its work; None for the usual one."""
    kind = device.type if device is not None else "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cuda":
        torch.cuda.synchronize(device)
    elif kind == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


def in_turns(runs: Mapping[str, Callable[[], T]], *, repeats: int, warm_up: int = 1) -> dict[str, list[T]]:
    """Call several functions in turns, so that a change of the machine's mood meets all of them.

    Args:
        runs: What to call, by name.
        repeats: Calls of each whose results are kept.
        warm_up: Calls of each before those.

    Returns:
        What the calls returned, by name; the same place in two lists is the same turn.
    """
    found: dict[str, list[T]] = {name: [] for name in runs}
    for turn in range(warm_up + repeats):
        # Every other turn runs backwards: nobody always comes after the same neighbour.
        for name in list(runs) if turn % 2 else reversed(list(runs)):
            found[name].append(runs[name]())
    return {name: values[warm_up:] for name, values in found.items()}


def times_ms(
    runs: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    warm_up: int = 1,
    device: torch.device | None = None,
) -> dict[str, list[float]]:
    """The time of every call in milliseconds, by name, of functions called in turns; see ``in_turns``."""
    timed = {name: lambda run=run: _time_ms(run, device) for name, run in runs.items()}
    return in_turns(timed, repeats=repeats, warm_up=warm_up)


def median_ms(
    runs: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    warm_up: int = 1,
    device: torch.device | None = None,
) -> dict[str, float]:
    """The median time of a call in milliseconds, by name, of functions called in turns; see ``in_turns``."""
    times = times_ms(runs, repeats=repeats, warm_up=warm_up, device=device)
    return {name: statistics.median(values) for name, values in times.items()}


def _time_ms(run: Callable[[], object], device: torch.device | None) -> float:
    began = now(device)
    run()
    return 1000 * (now(device) - began)
