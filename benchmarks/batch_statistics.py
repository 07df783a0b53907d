"""Batch statistics left by training compared with those of the target, on finished runs.

    python benchmarks/batch_statistics.py runs/studies/campaign_dusk/*/seed* --json benchmarks/statistics_dusk.json

Every run is scored twice with the same weights. Beside the scores stand measures on the target's training pictures,
without labels; the last lines say how often each measure prefers the statistics that score better. A run whose model
was saved with the target's statistics needs its last checkpoint. ``benchmarks/results.py`` draws the table.
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from segue import api
from segue.engine.finished_run import run_pictures
from segue.evaluation.model import TrainedModel
from segue.evaluation.pictures import evenly
from segue.evaluation.unlabelled import agreement, entropy, look, steadiness
from segue.files import write_text
from segue.memory import keep_memory

BOTH: tuple[Literal["trained", "target"], ...] = ("trained", "target")

SCORE = "mean IoU"

Measured: TypeAlias = Mapping[str, float | None]
"""A run's score with one kind of statistics, and measures without labels, of which higher is better; None where a run
has no teacher."""


def measure(run: Path, *, device: str | None, pictures: int) -> dict[str, Measured]:
    """One run with either kind of statistics; a ValueError without labelled target pictures or batch norms."""
    return {kind: _measured(run, kind, device=device, pictures=pictures) for kind in BOTH}


def _measured(
    run: Path, kind: Literal["trained", "target"], *, device: str | None, pictures: int
) -> Measured:
    model = api.load(run, device, statistics=kind)
    if model.batch_statistics is None:
        raise ValueError(f"{run}: its network has no batch norms, so there is nothing to compare")
    target, _ = run_pictures(model, "target")
    seen = look(model, target, evenly(len(target), pictures), other=_teacher(run, device))
    return {
        SCORE: api.evaluate(model).mean_iou,
        "low entropy": -entropy(seen),
        "steadiness when altered": steadiness(seen),
        "agreement with the teacher": agreement(seen),
    }


def _teacher(run: Path, device: str | None) -> TrainedModel | None:
    """The run's teacher as training left it; None if there is none."""
    try:
        return api.load(run, device, teacher=True, statistics="trained")
    except ValueError:
        return None


def prefers_better(runs: Sequence[Mapping[str, Measured]], name: str) -> tuple[int, int]:
    """In how many runs a measure prefers what scores better, and how many runs have the measure."""
    right = counted = 0
    for run in runs:
        trained, target = (run[kind][name] for kind in BOTH)
        if trained is None or target is None:
            continue
        counted += 1
        right += (target > trained) == (_score(run, "target") > _score(run, "trained"))
    return right, counted


def _score(run: Mapping[str, Measured], kind: Literal["trained", "target"]) -> float:
    score = run[kind][SCORE]
    assert score is not None
    return score


def _lines(record: Mapping[str, object]) -> str:
    """As JSON, a run a line, numbers to four decimals."""
    short = json.loads(json.dumps(record), parse_float=lambda number: round(float(number), 4))
    return (
        "{\n" + ",\n".join(f" {json.dumps(run)}: {json.dumps(row)}" for run, row in short.items()) + "\n}\n"
    )


def table(record: Mapping[str, Mapping[str, Measured]]) -> str:
    """A line for each run, or for those that differ by their seed alone (a study's), and what measures prefer."""
    lines = ["| run | as trained | target's | gain | seeds |", "|---|---|---|---|---|"]
    for folder in dict.fromkeys(map(_without_seed, record)):
        runs = [one for run, one in record.items() if _without_seed(run) == folder]
        means = {kind: 100 * statistics.fmean(_score(run, kind) for run in runs) for kind in BOTH}
        gain = means["target"] - means["trained"]
        lines.append(
            f"| {folder.name.replace('_', ' ')} | {means['trained']:.1f} | {means['target']:.1f}"
            f" | {gain:+.1f} | {len(runs)} |"
        )
    names = [name for name in next(iter(record.values()))["trained"] if name != SCORE]
    preferred = [(name, *prefers_better(list(record.values()), name)) for name in names]
    said = ", ".join(f"{name} in {right} of {counted}" for name, right, counted in preferred if counted)
    return "\n".join([*lines, "", f"What scores better is preferred by {said} runs."])


def _without_seed(run: str) -> Path:
    path = Path(run)
    return path.parent if path.name.startswith("seed") else path


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the named runs, keep what was measured, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    parser.add_argument(
        "--json", type=Path, help="where to keep it; runs that it holds are not measured again"
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1; a GPU if there is one")
    parser.add_argument(
        "--pictures", type=int, default=100, help="target pictures for measures without labels"
    )
    given = parser.parse_args(arguments)
    keep_memory()
    kept = given.json is not None and given.json.is_file()
    record: dict[str, dict[str, Measured]] = json.loads(given.json.read_text()) if kept else {}
    for run in given.runs:
        if str(run) not in record:
            record[str(run)] = measure(run, device=given.device, pictures=given.pictures)
        if given.json is not None:
            write_text(given.json, _lines(record))
    print(table(record))


if __name__ == "__main__":
    main()
