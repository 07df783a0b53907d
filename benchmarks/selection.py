"""How far measures without target labels can be trusted: on finished runs, against the true scores.

    python benchmarks/selection.py measure runs/studies/campaign_dusk --out benchmarks/selection/selection_dusk.json.xz
    python benchmarks/selection.py write            # fill the tables of docs/selection.md from the committed records
    python benchmarks/selection.py write --check

``measure`` needs runs that keep their checkpoints (ROW/seedN below the study's folder) and their pictures; what is in
the record already is not measured again. Target labels are read to score, never to measure. The oracle is measured and
left out of every table: nobody could choose it.
"""

import argparse
import json
import lzma
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from segue.engine.candidates import kept, measure_kept
from segue.engine.finished_run import run_pictures
from segue.evaluation import evidence
from segue.evaluation.evidence import Record, Row
from segue.evaluation.scoring import evaluate
from segue.evaluation.selection import Candidate, correlation, points_lost, rank
from segue.files import write_bytes, write_text
from segue.memory import keep_memory

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "selection.md"
RECORDS = ROOT / "benchmarks" / "selection"


def read(record: Path) -> dict[str, Any]:
    """A record is packed JSON: its many rows are much alike, and `xz -dc` shows them."""
    return json.loads(lzma.decompress(record.read_bytes()))


def measure(study: Path, out: Path, *, pictures: int, device: torch.device) -> None:
    """Measure every checkpoint of a study's runs that the record does not hold yet."""
    record = read(out) if out.is_file() else {"study": study.name, "pictures": pictures, "runs": []}
    done = {run["run"] for run in record["runs"]}
    for run in sorted(study.glob("*/seed*")):
        name = run.relative_to(study).as_posix()
        # A run that takes the target's statistics at its end scores another network than its checkpoints hold.
        comparable = (run / "scores.json").is_file() and kept(run)[
            -1
        ].experiment.network.statistics != "target"
        if name not in done and comparable:
            record["runs"].append(_measured(run, name, pictures, device))
            write_bytes(out, lzma.compress(json.dumps(record, separators=(",", ":")).encode()))
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
            "each": {
                key: [None if v is None else round(v, 4) for v in values] for key, values in row.each.items()
            },
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
    return {
        "run": name,
        "row": row,
        "seed": seed,
        "oracle": oracle,
        "start": start,
        **described,
        "rows": rows,
    }


def _rounded(values: dict[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else round(value, 5) for name, value in values.items()}


@dataclass(frozen=True)
class Measured:
    """A checkpoint of a record with its true score."""

    run: dict[str, Any]
    candidate: Candidate
    mean_iou: float


def checkpoints(record: dict[str, Any], *, oracle: bool = False) -> list[Measured]:
    """Every scored checkpoint; the start of a run is that of the run it started from."""
    return [
        Measured(run, Candidate(run["run"], row, True), scored["mean_iou"])
        for run in record["runs"]
        if run["oracle"] == oracle
        for scored, row in zip(run["rows"], _rows(run), strict=True)
        if scored["mean_iou"] is not None
    ]


def _rows(run: dict[str, Any]) -> list[Row]:
    """The rows of a run, with alarms by today's rules."""
    rows: list[Row] = []
    for one in run["rows"]:
        row = Row(one["step"], one["values"], one["each"], one["shares"], one["certainty"])
        rows = evidence.watched(_as_record(run, [*rows, row])).rows
    return rows


def _as_record(run: dict[str, Any], rows: list[Row]) -> Record:
    return Record(
        run["measures"], run["classes"], run["row"] != "source_only" and not run["oracle"], run["pictures"],
        run["set_aside"], run["source_pictures"], run["source_trained_on"], run["source_shares"] or None, run["start"],
        rows,
    )  # fmt: skip


def correlations(record: dict[str, Any]) -> str:
    """A row for each measure: how it orders the checkpoints, and what choosing by it costs."""
    every = checkpoints(record)
    measures = record["runs"][0]["measures"]
    seeds = sorted({one.run["seed"] for one in every})
    of_seed = [[one for one in every if one.run["seed"] == seed] for seed in seeds]
    of_run = [
        [one for one in every if one.run["run"] == run] for run in sorted({one.run["run"] for one in every})
    ]
    adapted = [[one for one in group if one.run["row"] != "source_only"] for group in of_seed]
    numbers = ", ".join(seed.removeprefix("seed") for seed in seeds)
    lines = [
        f"{len(every)} checkpoints of {len(of_run)} runs, seeds {numbers},"
        f" {record['pictures']} pictures of each domain. One seed's checkpoints differ by"
        f" {_points(mean(_spread(group) for group in of_seed))} points at most, one run's by"
        f" {_points(mean(_spread(group) for group in of_run))}.",
        "",
        "| measure | votes | rank correlation, all | within a seed | adapted only | points lost, a seed"
        " | points lost, a run |",
        "|---|---|---|---|---|---|---|",
    ]
    ranked = [
        *((name, one["title"], one["votes"]) for name, one in measures.items() if one["better"]),
        (None, "the rule of `segue select`", False),
    ]
    for name, title, is_voting in ranked:
        all_of_them, within, without = (
            [correlation(_goodness(group, name, measures), _true(group)) for group in groups]
            for groups in ([every], of_seed, adapted)
        )
        lost = [[_lost(group, name, measures) for group in groups] for groups in (of_seed, of_run)]
        cells = [_signed(_known_mean(found)) for found in (all_of_them, within, without)]
        cells += [_points(known) if (known := _known_mean(one)) is not None else "n/a" for one in lost]
        lines.append(f"| {title} | {'yes' if is_voting else ''} | {' | '.join(cells)} |")
    at_random = [
        mean(mean([max(_true(g)) - score for score in _true(g)]) for g in groups)
        for groups in (of_seed, of_run)
    ]
    lines.append(f"| at random | | | | | {_points(at_random[0])} | {_points(at_random[1])} |")
    last = [mean(max(_true(g)) - g[-1].mean_iou for g in of_run)]
    lines.append(f"| the last checkpoint | | | | | | {_points(last[0])} |")
    return "\n".join(lines)


def verdicts(record: dict[str, Any]) -> str:
    """A row for each adapted run: what the verdict says, and what is true."""
    lines = ["| run | true change | verdict | for | why not |", "|---|---|---|---|---|"]
    source = {run["seed"]: run for run in record["runs"] if run["row"] == "source_only"}
    for run in sorted(record["runs"], key=lambda run: run["run"]):
        if run["row"] == "source_only" or run["oracle"] or run["seed"] not in source:
            continue
        other, rows = source[run["seed"]], _rows(run)
        verdict = evidence.judge(_as_record(run, rows), ("source_only", _as_record(other, _rows(other))))
        change = run["rows"][-1]["mean_iou"] - other["rows"][-1]["mean_iou"]
        why = " ".join(verdict.reasons[1:])
        for_it = verdict.sure.partition(",")[0]
        lines.append(
            f"| {run['run']} | {_points(change, signed=True)} | {verdict.finding} | {for_it} | {why} |"
        )
    return "\n".join(lines)


def _goodness(group: Sequence[Measured], name: str | None, measures: dict[str, Any]) -> list[float | None]:
    ranks = _ranks(group, name, measures)
    return [None if one is None else -one for one in ranks]


def _ranks(group: Sequence[Measured], name: str | None, measures: dict[str, Any]) -> list[float | None]:
    ranking = rank([one.candidate for one in group], measures)
    return ranking.mean_rank if name is None else ranking.ranks[name]


def _lost(group: Sequence[Measured], name: str | None, measures: dict[str, Any]) -> float | None:
    """None where the measure does not know most of the group, such as agreement where there is no teacher."""
    if name is None:
        chosen = rank([one.candidate for one in group], measures).chosen
        return None if chosen is None else max(_true(group)) - group[chosen].mean_iou
    ranks = _ranks(group, name, measures)
    return points_lost(ranks, _true(group)) if sum(r is not None for r in ranks) > len(group) / 2 else None


def _true(group: Sequence[Measured]) -> list[float]:
    return [one.mean_iou for one in group]


def _spread(group: Sequence[Measured]) -> float:
    return max(_true(group)) - min(_true(group))


def _known_mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def _points(share: float, *, signed: bool = False) -> str:
    return f"{100 * share:+.1f}" if signed else f"{100 * share:.1f}"


def _signed(value: float | None) -> str:
    return "n/a" if value is None else f"{value:+.2f}"


TABLES = {"correlations": correlations, "verdicts": verdicts}
BLOCK = re.compile(r"(<!-- (?P<table>\w+): (?P<name>\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str) -> str:
    """The document with every table written again."""

    def block(match: re.Match[str]) -> str:
        record = read(RECORDS / f"{match['name']}.json.xz")
        return f"{match[1]}\n{TABLES[match['table']](record)}\n\n{match[4]}"

    return BLOCK.sub(block, text)


def main() -> None:
    """Measure a study's runs, or write or check the document."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("measure")
    one.add_argument("study", type=Path, help="the folder of a study's runs")
    one.add_argument("--out", type=Path, required=True, help="the record, to which new runs are added")
    one.add_argument("--pictures", type=int, default=8, help="pictures of each domain")
    one.add_argument("--device", default="cpu")
    two = verbs.add_parser("write")
    two.add_argument("--check", action="store_true", help="only check that the document is up to date")
    given = parser.parse_args()
    if given.verb == "write":
        before = DOCUMENT.read_text(encoding="utf-8")
        after = filled(before)
        if given.check:
            sys.exit(
                0 if after == before else f"{DOCUMENT}: out of date; run python benchmarks/selection.py write"
            )
        write_text(DOCUMENT, after)
        return
    keep_memory()
    measure(given.study, given.out, pictures=given.pictures, device=torch.device(given.device))


if __name__ == "__main__":
    main()
