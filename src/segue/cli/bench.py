"""``segue bench``: speed compared with other implementations, as ratios measured in one process."""

import json
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from segue.classes import nearest

if TYPE_CHECKING:
    from segue.bench.measure import Benchmark


def _rows_of(module: str) -> "Callable[[str], list[Benchmark]]":
    """The rows of a module of ``segue.bench``, whatever the recipe; it is imported when they are measured."""
    return lambda recipe: import_module(f"segue.bench.{module}").rows()


def _head(recipe: str) -> "list[Benchmark]":
    from segue.bench import against_official

    return against_official.head_rows()


def _step(recipe: str) -> "list[Benchmark]":
    from segue.bench import against_official, beside_dacs, collaboration, sam, step, windows
    from segue.engine.experiment import revise
    from segue.recipes.catalogue import experiment
    from segue.recipes.pairs import PAIRS

    match recipe:
        case "daformer":
            return against_official.step_rows()
        case "clda":
            return collaboration.rows()
        case "ssr":
            return sam.rows()
        case "hrda" | "mic":
            return step.rows(recipe) + windows.rows(recipe)
        case _:
            pair = PAIRS["gta5_to_cityscapes"]
            own, base = (experiment(name, pair, beside_dacs.SAME) for name in (recipe, "dacs"))
            if own.method.learns_depth:
                own, base = (
                    revise(one, head) for one, head in zip((own, base), beside_dacs.HEADS, strict=True)
                )
            return beside_dacs.rows(own, base)


def _memory(recipe: str) -> "list[Benchmark]":
    from segue.bench import bank, windows

    if recipe not in ("dida", "hrda", "mic"):
        raise ValueError(f"--recipe {recipe}: bench memory measures dida, hrda or mic")
    return bank.rows() if recipe == "dida" else windows.rows(recipe)


FAMILIES: "Mapping[str, Callable[[str], list[Benchmark]]]" = {
    "encoder": _rows_of("encoder"),
    "attention": _rows_of("attention"),
    "head": _head,
    "step": _step,
    "memory": _memory,
    "fuse": _rows_of("fusion"),
    "loader": _rows_of("loader"),
}
"""What can be measured, by name; each imports what it needs only when it runs, so that `segue --help` is fast."""


def bench(
    name: Annotated[str, typer.Argument(help=f"What to measure: {', '.join(FAMILIES)}.")],
    recipe: Annotated[
        str,
        typer.Option(
            help="The recipe: for step any, such as daformer or clda; for memory dida, hrda or mic."
        ),
    ] = "daformer",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the results to this JSON file.")
    ] = None,
) -> None:
    """Compare speed or memory with another implementation; a ratio below 1 means that Segue takes less."""
    from segue.files import write_text

    if name not in FAMILIES:
        raise ValueError(f"unknown benchmark {name!r}{nearest(name, list(FAMILIES))}")
    rows = FAMILIES[name](recipe)
    table = Table(title=f"bench {name}")
    for heading in ("name", "segue", "peer", "ratio", "of a turn"):
        table.add_column(heading, justify="left" if heading == "name" else "right")
    for row in rows:
        own, other = (f"{row[key]:.1f} {row['unit']}" for key in ("value", "peer_value"))
        spread = " to ".join(f"{ratio:.2f}" for ratio in row.get("spread", []))
        table.add_row(row["name"], own, other, f"{row['ratio']:.2f}", spread)
    console = Console()
    console.print(table)
    for peer in dict.fromkeys(row["peer"] for row in rows):
        console.print(f"peer: {peer}", highlight=False)
    if json_file is not None:
        write_text(json_file, json.dumps(rows, indent=2) + "\n")
