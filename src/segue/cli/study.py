"""``segue study``: a table of variants with several seeds, beside a paper's numbers."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from segue.recipes.study import Study, StudyRow


def study(
    name: Annotated[
        str | None,
        typer.Argument(help="A built-in study or a YAML file; without it the studies are listed."),
    ] = None,
    pair: Annotated[str, typer.Option(help="A built-in pair of domains or a YAML file.")] = "street_scenes",
    seeds: Annotated[str, typer.Option(help="Random seeds, separated by commas.")] = "0,1,2",
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps of each run.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the study; by default runs/studies/NAME.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Run only this variant; repeatable.")] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Runs at the same time; by default 1 on a GPU, 2 on a processor."),
    ] = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="Use no GPU.")] = False,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting of all runs: key.sub=value; repeatable."),
    ] = None,
) -> None:
    """Run a table of variants with several seeds; runs that are already finished are not repeated."""
    from segue.files import write_text
    from segue.recipes import pairs, studies
    from segue.study import runs, tables
    from segue.study.variants import Bed

    console = Console(soft_wrap=True)
    if name is None:
        for known, entry in studies.STUDIES.items():
            console.print(f"{known:20} {entry.question}", highlight=False)
        return
    chosen = studies.find(name, on=pairs.pair(pair).get("data", {}).get("pair", pair))
    folder = (out or Path("runs") / "studies" / Path(name).stem).absolute()
    numbers, rows = _seeds(seeds), _rows(chosen, only)
    bed = Bed(pair, folder, steps, assignments or [])
    # The record describes every row: one that is wrong is refused now, not once the others are trained.
    for row in chosen.rows.values():
        bed.experiment(row, numbers[0])
        runs.run_folder(folder, row.label, numbers[0])
    experiments = {label: [bed.experiment(row, seed) for seed in numbers] for label, row in rows.items()}
    needs = {label: list(row.needs.values()) for label, row in rows.items()}
    planned = runs.plan_jobs(experiments, folder, needs)
    failures = runs.run(planned, workers=_workers(jobs, cpu), console=console, cpu=cpu)
    record = bed.record(name, chosen, numbers, failures, also=rows)
    record.write(folder / "study.json")
    write_text(folder / "study.md", tables.markdown(record))
    for table in tables.drawn(record):
        console.print(table)
    for line in (tables.caption(record), *filter(None, [record.note]), *tables.notes_of(record)):
        console.print(line, markup=False, highlight=False)
    failed = [label for label, variant in record.variants.items() if variant.failed]
    if failed:
        raise ValueError(f"{', '.join(failed)} failed; the same command tries them again")


def _seeds(text: str) -> list[int]:
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(
            f"--seeds {text!r}: write whole numbers with commas in between, as in 0,1,2"
        ) from None
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"--seeds {text}: a seed comes twice")
    return seeds


def _rows(study: "Study", only: Sequence[str] | None) -> "dict[str, StudyRow]":
    from segue.classes import nearest

    rows = study.rows
    for label in only or []:
        if label not in rows:
            raise ValueError(f"--only {label!r}: no such variant{nearest(label, list(rows))}")
    wanted = set(only or rows)
    while missing := {need for label in wanted for need in rows[label].needs.values()} - wanted:
        wanted |= missing
    return {label: row for label, row in rows.items() if label in wanted}


def _workers(jobs: int | None, cpu: bool) -> int:
    import torch

    if jobs is not None:
        return jobs
    return 1 if torch.cuda.is_available() and not cpu else min(2, os.cpu_count() or 1)
