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
    from segue.bench import suite
    from segue.bench.measure import Benchmark
    from segue.engine.settings import Experiment
    from segue.trees import Tree


def _rows_of(module: str) -> "Callable[[str], list[Benchmark]]":
    """The rows of a module of ``segue.bench``, whatever the recipe; it is imported when they are measured."""
    return lambda recipe: import_module(f"segue.bench.{module}").rows()


def _head(recipe: str) -> "list[Benchmark]":
    from segue.bench import against_official

    return against_official.head_rows()


def _step(recipe: str) -> "list[Benchmark]":
    from segue.bench import against_official, beside_dacs, collaboration, sam

    match recipe:
        case "daformer" | "hrda" | "mic":
            return against_official.step_rows(recipe)
        case "clda":
            return collaboration.rows()
        case "ssr":
            return sam.rows()
        case _:
            return beside_dacs.rows(*_with_dacs(recipe))


def _with_dacs(recipe: str) -> "tuple[Experiment, Experiment]":
    """A recipe and DACS, on the same network and pictures."""
    from segue.bench import beside_dacs
    from segue.engine.experiment import revise
    from segue.recipes.catalogue import experiment
    from segue.recipes.pairs import PAIRS

    pair = PAIRS["gta5_to_cityscapes"]
    own, base = (experiment(name, pair, beside_dacs.SAME) for name in (recipe, "dacs"))
    heads: tuple[Tree, Tree] = ({}, {})
    if own.method.learns_depth:
        heads = beside_dacs.HEADS
    elif "memory" in own.terms.used():
        heads = (beside_dacs.TWO_PREDICTIONS, beside_dacs.TWO_PREDICTIONS)
    return revise(own, heads[0]), revise(base, heads[1])


def _memory(recipe: str) -> "list[Benchmark]":
    from segue.bench import against_official, bank

    match recipe:
        case "daformer" | "hrda" | "mic":
            return against_official.memory_rows(recipe)
        case "dida":
            return bank.rows()
        case _:
            raise ValueError(f"--recipe {recipe}: bench memory measures daformer, dida, hrda or mic")


FAMILIES: "Mapping[str, Callable[[str], list[Benchmark]]]" = {
    "encoder": _rows_of("encoder"),
    "attention": _rows_of("attention"),
    "head": _head,
    "step": _step,
    "memory": _memory,
    "fuse": _rows_of("fusion"),
    "loader": _rows_of("loader"),
    "predict": _rows_of("predict"),
    "startup": _rows_of("startup"),
}
"""What can be measured, by name; each imports what it needs only when it runs, so that `segue --help` is fast."""


ALL = "all"
OF_A_RECIPE = ("step", "memory")
"""What ``--recipe`` goes with."""


def bench(
    name: Annotated[
        str, typer.Argument(help=f"What to measure: {', '.join(FAMILIES)}; or all of them.")
    ] = ALL,
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            help="The recipe, daformer if none is given: for step any, such as clda; for memory daformer, dida,"
            " hrda or mic. Repeatable."
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the machine and the results to this JSON file.")
    ] = None,
) -> None:
    """Compare speed or memory with other implementations; a ratio below 1 means that Segue takes less.

    All together take up to 15 minutes on two cores. Where there are several, each has a process of its own.
    """
    from segue.bench import suite
    from segue.files import write_text

    if name not in (*FAMILIES, ALL):
        raise ValueError(f"unknown benchmark {name!r}{nearest(name, [*FAMILIES, ALL])}")
    if recipe and name not in OF_A_RECIPE:
        raise ValueError(
            f"--recipe goes with {' and '.join(OF_A_RECIPE)}: bench {name} measures the same for all"
        )
    parts = suite.SUITE if name == ALL else [(name, one) for one in recipe or ["daformer"]]
    console, records = Console(), list[suite.Record]()
    for family, of in parts:
        done = suite.apart(_measured, family, of) if len(parts) > 1 else _measured(family, of)
        records.append({"family": family, "recipe": of} | done)
        _show(console, records[-1])
    if json_file is not None:
        write_text(json_file, json.dumps(suite.joined(records), indent=1) + "\n")
    if any("error" in record for record in records):
        raise typer.Exit(1)


def _measured(family: str, recipe: str) -> "suite.Record":
    from segue.bench import suite

    return suite.measured(lambda: FAMILIES[family](recipe))


def _show(console: Console, record: "suite.Record") -> None:
    from segue.bench import suite

    if "error" in record:
        of = f" of {record['recipe']}" if record["family"] in OF_A_RECIPE else ""
        console.print(f"bench {record['family']}{of}: {record['error']}", highlight=False, markup=False)
        return
    table = Table(title=f"bench {record['family']}")
    for heading in ("name", "segue", "peer", "ratio", "of a turn", "goal"):
        table.add_column(heading, justify="left" if heading == "name" else "right")
    for row in record["rows"]:
        own, other = (f"{row[key]:.1f} {row['unit']}" for key in ("value", "peer_value"))
        spread = " to ".join(f"{ratio:.2f}" for ratio in row.get("spread", []))
        goal = f"{row['goal']:.2f}" if "goal" in row else ""
        table.add_row(row["name"], own, other, f"{row['ratio']:.2f}", spread, goal)
    console.print(table)
    for peer in dict.fromkeys(row["peer"] for row in record["rows"]):
        console.print(f"peer: {peer}", highlight=False)
    for noise in suite.noises(record):
        console.print(f"noisy: {noise}", highlight=False, markup=False)
