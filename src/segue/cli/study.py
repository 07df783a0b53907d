"""``segue study``: a paper's table of variants, several seeds each, beside the paper's numbers."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from segue.engine.settings import Experiment
    from segue.recipes.studies import Row, Study
    from segue.study import Outcome


def study(
    name: Annotated[str | None, typer.Argument(help="Which study; without it they are listed.")] = None,
    pair: Annotated[str, typer.Option(help="A built-in pair or a YAML file.")] = "street_scenes",
    seeds: Annotated[str, typer.Option(help="Seeds with commas in between.")] = "0,1,2",
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser updates of each run.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; by default runs/studies/NAME.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this variant; repeatable.")] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Runs at once; 2 on a processor by default.")
    ] = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="Stay on the processor.")] = False,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting of all runs: key.sub=value.")
    ] = None,
) -> None:
    """Run a table of variants with several seeds; what was finished before is not run again."""
    from segue.classes import nearest
    from segue.files import write_text
    from segue.recipes.studies import STUDIES

    console = Console(soft_wrap=True)
    if name is None:
        for known, entry in STUDIES.items():
            console.print(f"{known:20} {entry.question}", highlight=False)
        return
    if name not in STUDIES:
        raise ValueError(f"unknown study {name!r}{nearest(name, list(STUDIES))}")
    from segue import study as runner

    chosen, folder = STUDIES[name].on(_name_of(pair)), (out or Path("runs") / "studies" / name).absolute()
    numbers = _seeds(seeds)
    rows = _rows(chosen, only)
    experiments = {
        label: [_experiment(row, pair, seed, steps, assignments, folder) for seed in numbers]
        for label, row in rows.items()
    }
    overrides = _overrides(rows, pair, experiments)
    needs = {label: list(row.needs.values()) for label, row in rows.items()}
    planned = runner.plan(experiments, folder, needs)
    outcomes = runner.run(planned, workers=_workers(jobs, cpu), console=console, cpu=cpu)
    budget = next(iter(experiments.values()))[0].steps
    heading = f"{name} on {pair}: {budget} steps, seeds {', '.join(str(seed) for seed in numbers)}"
    record = _record(name, pair, budget, rows, outcomes, overrides)
    write_text(folder / "study.json", json.dumps(record, indent=2) + "\n")
    write_text(folder / "study.md", _markdown(chosen, heading, outcomes, overrides))
    for title, lines in _tables(chosen, outcomes, overrides).items():
        console.print(_drawn(f"{heading}\n{title}", lines))
    for line in _notes(overrides):
        console.print(line, markup=False, highlight=False)
    failed = [label for label, outcome in outcomes.items() if outcome.failed]
    if failed:
        raise ValueError(f"{', '.join(failed)} failed; the same command tries them again")


HEADINGS = ("variant", "paper", "here", "± seeds", "to baseline", "runs", "set otherwise")

Overrides: TypeAlias = Mapping[str, Mapping[str, str]]
"""By row, the settings that are not as the recipe and the row have them, and what they are instead."""


def _seeds(text: str) -> list[int]:
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(
            f"--seeds {text!r}: write whole numbers with commas in between, as in 0,1,2"
        ) from None
    if len(set(found)) < len(found):
        raise ValueError(f"--seeds {text}: a seed comes twice")
    return found


def _name_of(pair: str) -> str:
    """What the pair calls itself."""
    from segue.recipes import pairs

    return pairs.pair(pair).get("data", {}).get("pair", pair)


def _rows(study: "Study", only: Sequence[str] | None) -> "dict[str, Row]":
    from segue.classes import nearest

    rows = {row.label: row for table in study.tables.values() for row in table}
    for label in only or []:
        if label not in rows:
            raise ValueError(f"--only {label!r}: no such variant{nearest(label, list(rows))}")
    wanted = set(only or rows)
    while missing := {need for label in wanted for need in rows[label].needs.values()} - wanted:
        wanted |= missing
    return {label: row for label, row in rows.items() if label in wanted}


def _experiment(
    row: "Row", pair: str, seed: int, steps: int | None, assignments: list[str] | None, folder: Path
) -> "Experiment":
    from segue import study as runner
    from segue.engine.experiment import parse_assignments
    from segue.recipes import pairs
    from segue.recipes.catalogue import experiment

    budget = {"seed": seed} | ({"steps": steps} if steps else {})
    needed = [f"{key}={runner.run_folder(folder, label, seed)}" for key, label in row.needs.items()]
    wishes = (parse_assignments(given) for given in (needed, assignments or []))
    return experiment(row.recipe, pairs.pair(pair), row.changes, budget, *wishes, size=row.size)


def _overrides(
    rows: "Mapping[str, Row]", pair: str, experiments: "Mapping[str, Sequence[Experiment]]"
) -> Overrides:
    """What the pair, the flags and ``--set`` change of each row."""
    from segue.recipes import pairs
    from segue.recipes.effective import as_in_paper, overridden

    known = pairs.pair(pair)
    return {
        label: overridden(
            as_in_paper(row.recipe, known, row.changes, size=row.size), experiments[label][0], but=row.needs
        )
        for label, row in rows.items()
    }


def _notes(overrides: Overrides) -> list[str]:
    """What is set otherwise, in as many lines as there are different sets of rows that share it."""
    return [f"{number}: {', '.join(items)}" for number, items in enumerate(_shared(overrides).values(), 1)]


def _shared(overrides: Overrides) -> dict[tuple[str, ...], list[str]]:
    """Settings by the rows that have them alike."""
    found: dict[tuple[str, ...], list[str]] = {}
    for item in dict.fromkeys(item for settings in overrides.values() for item in settings.items()):
        having = tuple(label for label, settings in overrides.items() if item in settings.items())
        found.setdefault(having, []).append(" ".join(item))
    return found


def _workers(jobs: int | None, cpu: bool) -> int:
    import torch

    if jobs is not None:
        return jobs
    return 1 if torch.cuda.is_available() and not cpu else min(2, os.cpu_count() or 1)


def _record(
    name: str,
    pair: str,
    steps: int,
    rows: "Mapping[str, Row]",
    outcomes: "Mapping[str, Outcome]",
    overrides: Overrides,
) -> dict[str, Any]:
    from segue.engine.model_card import versions

    variants = {
        label: {
            "recipe": rows[label].recipe,
            "changes": rows[label].changes,
            "overridden": overrides[label],
            "published": _published(rows[label], overrides),
            "scores": outcome.scores,
            "mean": outcome.mean,
            "spread": outcome.spread,
            "failed": outcome.failed,
        }
        for label, outcome in outcomes.items()
    }
    return {"study": name, "pair": pair, "steps": steps, "variants": variants, "versions": versions()}


def _published(row: "Row", overrides: Overrides) -> float | None:
    """The paper's number, if the paper's settings are run."""
    return None if overrides[row.label] else row.published


def _tables(
    study: "Study", outcomes: "Mapping[str, Outcome]", overrides: Overrides
) -> dict[str, list[tuple[str, ...]]]:
    """The cells of every table, rows without a run left out."""
    reference = outcomes[study.baseline].mean if study.baseline in outcomes else None
    found: dict[str, list[tuple[str, ...]]] = {}
    for title, rows in study.tables.items():
        lines = [
            _line(row, outcomes[row.label], reference, overrides) for row in rows if row.label in outcomes
        ]
        if lines:
            found[title] = lines
    return found


def _line(row: "Row", outcome: "Outcome", reference: float | None, overrides: Overrides) -> tuple[str, ...]:
    mean, spread, published = outcome.mean, outcome.spread, _published(row, overrides)
    notes = [str(number) for number, rows in enumerate(_shared(overrides), 1) if row.label in rows]
    return (
        row.label,
        "" if published is None else f"{published:.1f}",
        "failed" if mean is None else f"{100 * mean:.1f}",
        "" if spread is None else f"{100 * spread:.1f}",
        "" if mean is None or reference is None else f"{100 * (mean - reference):+.1f}",
        str(len(outcome.scores)),
        ", ".join(notes),
    )


def _drawn(title: str, lines: Sequence[tuple[str, ...]]) -> Table:
    table = Table(title=title, caption="paper: what is printed on this pair, mean IoU; empty for nothing")
    for place, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="right" if place else "left")
    for line in lines:
        table.add_row(*line)
    return table


def _markdown(study: "Study", heading: str, outcomes: "Mapping[str, Outcome]", overrides: Overrides) -> str:
    parts = [f"{study.question} ({heading}; paper: {study.paper}, where it has numbers on this pair)", ""]
    for title, lines in _tables(study, outcomes, overrides).items():
        parts += [title, "", "| " + " | ".join(HEADINGS) + " |", "|---|" + "---|" * (len(HEADINGS) - 1)]
        parts += ["| " + " | ".join(line) + " |" for line in lines] + [""]
    if notes := _notes(overrides):
        parts += [
            "Set otherwise than the recipe and the row have it:",
            "",
            *(f"- {note}" for note in notes),
            "",
        ]
    return "\n".join(parts)
