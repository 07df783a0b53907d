"""How far measures without target labels can be trusted: on finished runs, against the true scores.

    python benchmarks/selection.py measure runs/studies/campaign_dusk --out benchmarks/studies/selection_dusk.json
    python benchmarks/selection.py write            # fill the tables of docs/selection.md from the committed records
    python benchmarks/selection.py write --check

``measure`` needs runs that keep their checkpoints (ROW/seedN below the study's folder) and their pictures; what is in the
record already is not measured again. Target labels are read to score, never to measure. The oracle is measured, and left
out of every table but its own: nobody could choose it.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from segue.engine.candidates import kept, measure_kept
from segue.engine.finished_run import run_pictures
from segue.evaluation import evidence
from segue.evaluation.scoring import evaluate
from segue.files import write_text
from segue.memory import keep_memory

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "selection.md"
RECORDS = ROOT / "benchmarks" / "studies"


def measure(study: Path, out: Path, *, pictures: int, device: torch.device) -> None:
    """Measure every checkpoint of a study's runs that the record does not hold yet."""
    record = json.loads(out.read_text()) if out.is_file() else {"study": study.name, "pictures": pictures, "runs": []}
    done = {run["run"] for run in record["runs"]}
    for run in sorted(study.glob("*/seed*")):
        name = run.relative_to(study).as_posix()
        # A run that takes the target's statistics at its end scores another network than its checkpoints hold.
        comparable = (run / "scores.json").is_file() and kept(run)[-1].experiment.network.statistics != "target"
        if name not in done and comparable:
            record["runs"].append(_measured(run, name, pictures, device))
            write_text(out, json.dumps(record, separators=(",", ":")) + "\n")
            print(name, flush=True)


def _measured(run: Path, name: str, pictures: int, device: torch.device) -> dict[str, Any]:
    *_, found = measure_kept(run, device, pictures=pictures)
    scores: dict[int, float] = {}
    for one in kept(run):
        model = one.model(device)
        true = evaluate(model, run_pictures(model, "evaluation")[0])
        settings = one.experiment.evaluation
        scores[one.step] = true.over(settings.classes, settings.also).mean_iou
    rows = [
        {
            "step": row.step,
            "mean_iou": scores.get(row.step),
            "values": _rounded(row.values),
            "each": {key: [None if v is None else round(v, 4) for v in values] for key, values in row.each.items()},
            "shares": [round(share, 4) for share in row.shares],
            "certainty": [None if v is None else round(v, 4) for v in row.certainty],
            "alarms": row.alarms,
        }
        for row in found.rows
    ]
    described = {key: getattr(found, key) for key in ("measures", "classes", "pictures", "source_pictures")}
    described["set_aside"], described["source_trained_on"] = found.set_aside, found.source_trained_on
    described["source_shares"] = [round(share, 4) for share in found.source_shares or []]
    start = None if found.start is None else "/".join(Path(found.start).parts[-2:])
    row, seed = name.split("/")
    oracle = kept(run)[0].experiment.reads_target_labels
    return {"run": name, "row": row, "seed": seed, "oracle": oracle, "start": start, **described, "rows": rows}


def _rounded(values: dict[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else round(value, 5) for name, value in values.items()}


def main() -> None:
    """Measure a study's runs, or write or check the document."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("measure")
    one.add_argument("study", type=Path, help="the folder of a study's runs")
    one.add_argument("--out", type=Path, required=True, help="the record, to which new runs are added")
    one.add_argument("--pictures", type=int, default=8, help="pictures of each domain")
    one.add_argument("--device", default="cpu")
    given = parser.parse_args()
    keep_memory()
    measure(given.study, given.out, pictures=given.pictures, device=torch.device(given.device))


if __name__ == "__main__":
    main()
