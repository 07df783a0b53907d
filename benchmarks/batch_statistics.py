"""Batch statistics left by training compared with those of the target, on finished runs.

    python benchmarks/batch_statistics.py runs/studies/daformer_family/*/seed*

Every run is scored twice with the same weights. Beside the scores stand measures on the target's training pictures,
without labels; the last lines say how often each measure prefers the statistics that score better. A run whose model
was saved with the target's statistics needs its last checkpoint.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from segue import api
from segue.engine.finished_run import run_pictures
from segue.evaluation.model import TrainedModel
from segue.evaluation.pictures import evenly
from segue.evaluation.unlabelled import Seen, agreement, entropy, look, steadiness
from segue.memory import keep_memory

BOTH: tuple[Literal["trained", "target"], ...] = ("trained", "target")


@dataclass(frozen=True)
class Measured:
    """A run's results with one kind of statistics."""

    mean_iou: float
    seen: Seen


MEASURES = {
    "low entropy": lambda measured: -entropy(measured.seen),
    "steady when altered": lambda measured: steadiness(measured.seen),
    "agrees with teacher": lambda measured: agreement(measured.seen),
}
"""Measures without labels, higher is better; None where a run has no teacher."""


def measure(run: Path, *, device: str | None, pictures: int) -> dict[str, Measured]:
    """One run with either kind of statistics; a ValueError without labelled target pictures or batch norms."""
    return {kind: _measured(run, kind, device=device, pictures=pictures) for kind in BOTH}


def _measured(
    run: Path, kind: Literal["trained", "target"], *, device: str | None, pictures: int
) -> Measured:
    model = api.load(run, device, statistics=kind)
    if model.batch_statistics is None:
        raise ValueError(f"{run}: its network has no batch norms, so there is nothing to compare")
    scores = api.evaluate(model)
    target, _ = run_pictures(model, "target")
    chosen = evenly(len(target), pictures)
    return Measured(scores.mean_iou, look(model, target, chosen, other=_teacher(run, device)))


def _teacher(run: Path, device: str | None) -> TrainedModel | None:
    """The run's teacher as training left it; None if there is none."""
    try:
        return api.load(run, device, teacher=True, statistics="trained")
    except ValueError:
        return None


def prefers_better(runs: Sequence[dict[str, Measured]], name: str) -> tuple[int, int]:
    """In how many runs a measure prefers what scores better, and how many runs have the measure."""
    right = counted = 0
    for one in runs:
        trained, target = (MEASURES[name](one[kind]) for kind in BOTH)
        if trained is None or target is None:
            continue
        counted += 1
        right += (target > trained) == (one["target"].mean_iou > one["trained"].mean_iou)
    return right, counted


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the named runs and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    parser.add_argument("--device", help="cpu, cuda, cuda:1; a GPU if there is one")
    parser.add_argument(
        "--pictures", type=int, default=100, help="target pictures for measures without labels"
    )
    given = parser.parse_args(arguments)
    keep_memory()
    table = Table("run", "statistics", "mean IoU", *MEASURES)
    runs: list[dict[str, Measured]] = []
    for run in given.runs:
        runs.append(measure(run, device=given.device, pictures=given.pictures))
        for kind, one in runs[-1].items():
            alike = (steadiness(one.seen), agreement(one.seen))
            shown = ("" if share is None else f"{100 * share:.1f}" for share in alike)
            cells = (f"{entropy(one.seen):.3f}", *shown)
            table.add_row(str(run) if kind == "trained" else "", kind, f"{100 * one.mean_iou:.1f}", *cells)
    console = Console(soft_wrap=True)
    console.print(table)
    gains = [one["target"].mean_iou - one["trained"].mean_iou for one in runs]
    console.print(
        f"target statistics instead of trained: {100 * sum(gains) / len(gains):+.1f} points on average"
    )
    for name in MEASURES:
        right, counted = prefers_better(runs, name)
        if counted:
            console.print(f"{name}: prefers what scores better in {right} of {counted} runs", highlight=False)


if __name__ == "__main__":
    main()
