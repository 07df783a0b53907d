"""A run that goes on for more steps than it was planned for."""

import json
from pathlib import Path

from rich.console import Console

from segue.engine import experiment as experiments
from segue.engine.settings import Experiment
from segue.files import write_text

FILE = "extended.json"


def extension(folder: Path, experiment: Experiment) -> int | None:
    """The steps that a run folder was planned for, if an experiment only wants more of them; else None."""
    path = folder / "experiment.yaml"
    if not path.is_file():
        return None
    before = experiments.load(path)
    is_longer = experiment.steps > before.steps
    return before.steps if is_longer and experiments.differences(before, experiment) == ["steps"] else None


def note_extension(folder: Path, before: int, steps: int, *, console: Console) -> None:
    """Say that a run goes on, and write it into ``extended.json``.

    Warm-up, decay and whatever else is a share of the run follow the longer run from here on, so the result is not that
    of a run which was planned so long from the beginning.
    """
    path = folder / FILE
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    write_text(path, json.dumps([*known, {"from": before, "to": steps}]) + "\n")
    console.print(
        f"{folder} was planned for {before} steps and goes on to {steps}: rates and schedules are those of {steps}"
        " steps from here on",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
