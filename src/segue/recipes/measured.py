"""What recipes score here: ``measured.json`` beside this file, which ``benchmarks/results.py`` makes from studies."""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).with_suffix(".json")


class Measured(NamedTuple):
    """The mean over seeds, in percent: mean IoU, or accuracy where whole pictures are named.

    Attributes:
        goes_on: The runs went on from a trained model, most from a source-only one.
    """

    mean: float
    seeds: int
    goes_on: bool


@cache
def measured() -> dict[str, dict[str, Measured]]:
    """By recipe, then by pair; a recipe without a finished run is missing."""
    content: dict[str, dict[str, tuple[float, int, bool]]] = json.loads(FILE.read_text(encoding="utf-8"))
    return {recipe: {pair: Measured(*row) for pair, row in rows.items()} for recipe, rows in content.items()}
