"""``segue select``: which checkpoint of one or many runs to use, without target labels."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from segue.cli.options import ClassMap, Device

if TYPE_CHECKING:
    from segue.cli.tables import PlainTable
    from segue.evaluation.selection import Probe, Ranking


def select(
    runs: Annotated[list[Path], typer.Argument(help="Run folders of the same pair.", metavar="RUN")],
    labelled: Annotated[
        Path | None,
        typer.Option(
            "--probe",
            help="A folder of a few labelled target pictures, which says how far to trust the choice.",
        ),
    ] = None,
    split: Annotated[str | None, typer.Option(help="A part of --probe.")] = None,
    classes: Annotated[
        Path | None, typer.Option(help="Class list of the labels, if --probe has no classes.json.")
    ] = None,
    class_map: ClassMap = None,
    again: Annotated[
        bool,
        typer.Option("--measure", help="Measure the kept checkpoints now, whatever the runs have recorded."),
    ] = False,
    pictures: Annotated[
        int | None, typer.Option(min=1, help="Pictures of each domain, with --measure.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the chosen network to this folder, as a model.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write everything to this file.")
    ] = None,
    device: Device = None,
) -> None:
    """Rank the checkpoints of runs by every measure that needs no target label, and choose one.

    The choice has the best mean rank over the measures that vote, among checkpoints that are kept and of which no alarm
    stands. docs/selection.md says how well each measure has chosen on finished runs.
    """
    from segue.engine.choice import export_choice, gather, score_choices
    from segue.evaluation.model import choose_device
    from segue.evaluation.selection import rank
    from segue.files import write_text
    from segue.memory import keep_memory
    from segue.trees import read_yaml

    if labelled is None and (split or classes or class_map):
        raise ValueError(
            "--split, --classes and --map describe the labelled pictures of --probe, which is not given"
        )
    keep_memory()
    console, chosen_device = Console(soft_wrap=True), choose_device(device)
    choices = gather(runs, chosen_device, again=again, pictures=pictures)
    ranking = rank([one.candidate for one in choices.all], choices.measures)
    tried: Probe | None = None
    if labelled is not None:
        own_map = None if class_map is None else read_yaml(class_map)
        tried = score_choices(
            choices, chosen_device, labelled, split=split, label_classes=classes, class_map=own_map
        )
    console.print(_candidates(ranking, tried))
    console.print(_measures(ranking, choices.measures, tried))
    for line in _said(ranking, choices.measures, tried):
        console.print(line, highlight=False, markup=False)
    if ranking.chosen is not None and out is not None:
        export_choice(choices.all[ranking.chosen], out)
        console.print(f"model   {out}", highlight=False, markup=False)
    if json_file is not None:
        write_text(json_file, json.dumps(_plain(ranking, tried), indent=2) + "\n")


def _candidates(ranking: "Ranking", tried: "Probe | None") -> "PlainTable":
    from segue.cli.tables import PlainTable

    order = sorted(
        range(len(ranking.candidates)),
        key=lambda i: (ranking.mean_rank[i] is None, ranking.mean_rank[i] or 0.0),
    )
    headings = ["candidate", "mean rank", *(["mean IoU %", "best again"] if tried else []), "note"]
    rows: list[Sequence[str]] = []
    for place in order:
        one, mean = ranking.candidates[place], ranking.mean_rank[place]
        score = None if tried is None else tried.scores[place]
        said = (
            [] if tried is None else [_percent(score), "" if score is None else _percent(tried.again[place])]
        )
        notes = [
            *(["chosen"] if place == ranking.chosen else []),
            *([] if one.is_kept else ["weights not kept"]),
            *one.row.alarms,
        ]
        rows.append([one.name, "n/a" if mean is None else f"{mean:.1f}", *said, "; ".join(notes)])
    return PlainTable("candidates, best first", headings, rows)


def _measures(ranking: "Ranking", measures: dict[str, dict[str, Any]], tried: "Probe | None") -> "PlainTable":
    from segue.cli.tables import PlainTable
    from segue.evaluation.selection import correlation, points_lost

    headings = [
        "measure",
        "votes",
        "prefers",
        "value",
        *(["rank correlation", "points lost"] if tried else []),
    ]
    rows: list[Sequence[str]] = []
    for name, ranks in ranking.ranks.items():
        best = ranking.best_by(name)
        if best is None:
            continue
        row = [str(measures[name]["title"]), "yes" if measures[name]["votes"] else ""]
        row += [ranking.candidates[best].name, f"{ranking.candidates[best].row.values[name]:.4g}"]
        if tried is not None:
            found, lost = (
                correlation([None if r is None else -r for r in ranks], tried.scores),
                points_lost(ranks, tried.scores),
            )
            row += ["n/a" if found is None else f"{found:+.2f}", _percent(lost)]
        rows.append(row)
    return PlainTable("what each measure prefers", headings, rows)


def _said(ranking: "Ranking", measures: dict[str, dict[str, Any]], tried: "Probe | None") -> list[str]:
    if ranking.chosen is None:
        return ["Nothing to choose: no candidate whose weights are kept has every measure that votes."]
    chosen = ranking.candidates[ranking.chosen]
    others = [
        str(measures[name]["title"])
        for name in ranking.ranks
        if (best := ranking.best_by(name)) is not None and best != ranking.chosen
    ]
    said = [f"chosen: {chosen.name} (best mean rank of the measures that vote, weights kept, no alarm)"]
    if others:
        said.append(f"{len(others)} of {len(ranking.ranks)} measures prefer another one: {', '.join(others)}")
    gone = sum(not one.is_kept for one in ranking.candidates)
    if gone:
        said.append(f"the weights of {gone} candidates are gone; run.keep=N keeps more checkpoints")
    if tried is not None and tried.scores[ranking.chosen] is not None:
        best = max(score for score in tried.scores if score is not None)
        said.append(
            f"on the labelled pictures it loses {100 * (best - (tried.scores[ranking.chosen] or 0)):.1f} points to the"
            f" best candidate; with other pictures of the kind it would be the best itself in"
            f" {_percent(tried.again[ranking.chosen])} % of cases"
        )
    return said


def _plain(ranking: "Ranking", tried: "Probe | None") -> dict[str, Any]:
    return {
        "chosen": None if ranking.chosen is None else ranking.candidates[ranking.chosen].name,
        "candidates": [
            {
                "name": one.name,
                "step": one.row.step,
                "kept": one.is_kept,
                "mean_rank": ranking.mean_rank[place],
                "values": one.row.values,
                "ranks": {name: ranks[place] for name, ranks in ranking.ranks.items()},
                "alarms": one.row.alarms,
                "mean_iou": None if tried is None else tried.scores[place],
            }
            for place, one in enumerate(ranking.candidates)
        ],
    }


def _percent(share: float | None) -> str:
    return "n/a" if share is None else f"{100 * share:.1f}"
