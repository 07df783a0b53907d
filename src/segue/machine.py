"""What a time or a score was measured on."""

import os
import platform
from pathlib import Path
from typing import Any

TELLING = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")
"""Instruction sets that decide how fast a network is."""


def describe() -> str:
    """One line: the processor, how many of its cores this process may use, and the instruction sets that matter."""
    known = facts()
    instructions = " ".join(known["instructions"])
    return ", ".join(
        [known["processor"], f"{known['cores']} cores", *([instructions] if instructions else [])]
    )


def facts() -> dict[str, Any]:
    """The same as plain values, with the version of Python."""
    lines = _cpu_info()
    flags = set((lines.get("flags") or lines.get("Features") or "").split())
    return {
        "processor": lines.get("model name") or platform.processor() or platform.machine(),
        "cores": cores(),
        "instructions": [flag for flag in TELLING if flag in flags],
        "python": platform.python_version(),
    }


def cores() -> int:
    """How many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _cpu_info() -> dict[str, str]:
    """What Linux says of the first core; empty on other systems."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
