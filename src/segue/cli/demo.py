"""``segue demo``: adaptation from start to report on the built-in street scenes, on a processor, in minutes."""

import json
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from segue.engine.settings import Experiment

RUNS = {"source_only": "source_only", "adapted": "daformer", "oracle": "target_supervised"}
"""The three runs and their recipes; network, steps and seed are the same."""

MARK = ".demo"
"""The file that marks a folder as the demo's: other runs are never removed."""

LONGEST_FIRST = ("adapted", "source_only", "oracle")
"""Two runs share the time, so the longest one starts first."""


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the three runs and the report.")] = Path("runs/demo"),
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps of each run.")] = None,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting of all three runs: key.sub=value; repeatable."),
    ] = None,
) -> None:
    """Train three models: without adaptation, with it, and with the target's labels; then compare them in a report."""
    from segue.engine.experiment import parse_assignments
    from segue.files import write_text
    from segue.recipes import pairs
    from segue.recipes.catalogue import experiment
    from segue.report.page import write_report
    from segue.study.runs import train_alone

    began = time.perf_counter()
    console = Console()
    wishes: dict[str, Any] = {"seed": seed} | ({"steps": steps} if steps else {})
    own = parse_assignments(assignments or [])
    wanted = {name: experiment(recipe, pairs.STREET_SCENES, wishes, own) for name, recipe in RUNS.items()}
    for name in RUNS:
        _make_way(out / name, wanted[name])
    write_text(out / MARK, "The runs of this folder are the demo's, which replaces them.\n")
    console.print("Three models learn street scenes, two at a time, one processor core each.")
    with ProcessPoolExecutor(max_workers=2, mp_context=get_context("spawn")) as pool:
        running = {
            name: pool.submit(train_alone, wanted[name], out / name, threads=1, quiet=False)
            for name in LONGEST_FIRST
        }
        scores = {name: running[name].result() for name in RUNS}

    gap = scores["oracle"] - scores["source_only"]
    summary = {
        **scores,
        "gap_closed": (scores["adapted"] - scores["source_only"]) / gap if gap else None,
        "seconds": round(time.perf_counter() - began, 1),
    }
    write_text(out / "summary.json", json.dumps(summary, indent=2) + "\n")
    page = write_report(
        out / "report.html",
        [out / name for name in RUNS],
        title="From clean renders to a camera's pictures",
        names=list(RUNS),
        seconds=summary["seconds"],
    )
    console.rule("mean IoU on the target")
    for name, score in scores.items():
        console.print(f"{name:12} {100 * score:5.1f}", highlight=False)
    if summary["gap_closed"] is not None:
        console.print(f"{'gap closed':12} {summary['gap_closed']:5.2f}", highlight=False)
    console.print(f"{summary['seconds']:.0f} seconds; report: {page}", highlight=False)


def _make_way(folder: Path, wanted: "Experiment") -> None:
    """Remove an earlier demo's run, unless it is an interrupted one that can go on."""
    from segue.engine.checkpoint import list_checkpoints
    from segue.engine.experiment import differences, load

    if not (folder / "experiment.yaml").is_file():
        return
    newest = list_checkpoints(folder / "checkpoints")[-1:]
    is_finished = bool(newest) and int(newest[0].name) >= wanted.steps
    if is_finished or differences(load(folder / "experiment.yaml"), wanted):
        if not any((folder.parent / name).is_file() for name in (MARK, "summary.json")):
            raise ValueError(f"{folder} holds a run that is not the demo's: choose another --out")
        shutil.rmtree(folder)
