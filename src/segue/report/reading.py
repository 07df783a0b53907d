"""Reading JSON that a person, a killed run or a stranger may have left behind."""

import json
import math
from pathlib import Path
from typing import Any, cast

Row = dict[str, float]
"""One line of metrics or timing: numbers by name, "step" among them."""


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Args:
        path: Where it should be.

    Returns:
        What it holds; None if there is no such file.

    Raises:
        ValueError: If it is not JSON; the message names the file.
    """
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): have it written anew, or remove it") from error


def read_object(path: Path) -> dict[str, Any] | None:
    """Read a JSON file whose content is one object.

    Args:
        path: Where it should be.

    Returns:
        The object; None if there is no such file.

    Raises:
        ValueError: If it holds anything else; the message names the file.
    """
    found = read_json(path)
    if found is not None and not isinstance(found, dict):
        raise ValueError(f"{path} holds no JSON object: have it written anew, or remove it")
    return cast(dict[str, Any] | None, found)


def read_lines(path: Path) -> tuple[list[Row], int]:
    """All readable lines that state a step, and how many there were besides."""
    if not path.is_file():
        return [], 0
    written = [
        line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()
    ]
    rows = [row for line in written if (row := _row(line)) is not None]
    return rows, len(written) - len(rows)


def number(value: object) -> float | None:
    """A number as float, NaN if it is not finite; None for anything that is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else math.nan


def _row(line: str) -> Row | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    entries = cast(dict[str, Any], found)
    row = {key: parsed for key, value in entries.items() if (parsed := number(value)) is not None}
    return row if math.isfinite(row.get("step", math.nan)) else None
