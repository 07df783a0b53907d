"""What else the machine did while something was measured: on Linux, all CPU time that was not this process's own."""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from segue.clock import now
from segue.machine import cores

NOISY_OTHERS = 0.1
"""The share of the cores from which on others are said to have disturbed a measurement."""

NOISY_PEER = 0.15
"""The range of the peer's turns, over their median, from which on a row is called noisy."""


class Others:
    """The mean share, in [0, 1], of this process's cores that others used; None while or where it is unknown."""

    share: float | None = None


@contextmanager
def others() -> Generator[Others]:
    """Watch what others use until the context ends; the host that takes a virtual core away is one of them."""
    seen, before, began = Others(), _foreign_seconds(), now()
    yield seen
    after, passed = _foreign_seconds(), now() - began
    if before is not None and after is not None and passed > 0:
        # Ticks of 10 ms are rounded differently in the two sources.
        seen.share = min(1.0, max(0.0, (after - before) / (passed * cores())))


def _foreign_seconds() -> float | None:
    """Seconds for which this process's cores were busy, less those that it and its descendants used."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
        mine = {f"cpu{core}" for core in os.sched_getaffinity(0)}
        tick = os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError):
        return None
    # user, nice, system; then idle and waiting; then interrupts and what the host took
    ticks = (list(map(int, line.split()[1:9])) for line in lines if line.split(" ")[0] in mine)
    busy = sum(sum(core[:3]) + sum(core[5:]) for core in ticks)
    return (busy - _own_ticks()) / tick


def _own_ticks() -> int:
    """Ticks of this process and its descendants, with those that have ended and been waited for."""
    parents, used = dict[int, int](), dict[int, int]()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            fields = path.read_text().rpartition(")")[2].split()  # the name may hold blanks
            number = int(path.parent.name)
            parents[number], used[number] = int(fields[1]), sum(map(int, fields[11:15]))
    total, waiting = 0, [os.getpid()]
    while waiting:
        current = waiting.pop()
        total += used.get(current, 0)
        waiting += [number for number, parent in parents.items() if parent == current]
    return total
