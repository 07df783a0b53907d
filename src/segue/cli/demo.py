"""``segue demo``: the whole story on the built-in street scenes, on a processor, in minutes."""

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from segue.engine.settings import Experiment

RUNS = {"source_only": "source_only", "adapted": "daformer", "oracle": "target_supervised"}
"""The three runs of the story and their recipes: same network, same steps, same seed."""


def demo(
    out: Annotated[Path, typer.Option(help="Where the three runs and the report go.")] = Path("runs/demo"),
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser updates of each run.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting of all three runs: key.sub=value.")
    ] = None,
) -> None:
    """See a model fail on another domain, adapt to it, and compare it with one that was given the labels."""
    from segue.engine.experiment import parse_assignments
    from segue.engine.run import train
    from segue.files import write_text
    from segue.memory import keep_memory
    from segue.recipes import pairs
    from segue.recipes.catalogue import experiment
    from segue.report.page import write_report

    began = time.perf_counter()
    keep_memory()
    console = Console()
    wishes: dict[str, Any] = {"seed": seed} | ({"steps": steps} if steps else {})
    scores: dict[str, float] = {}
    for name, recipe in RUNS.items():
        wanted = experiment(recipe, pairs.STREET_SCENES, wishes, parse_assignments(assignments or []))
        _make_way(out / name, wanted)
        console.rule(f"{name} ({recipe})")
        found = train(wanted, out / name, console=console, cpu=True)
        assert found is not None, "the built-in pair has labelled pictures to score on"
        scores[name] = found["mean_iou"]
        console.print(f"{name}: {100 * scores[name]:.1f} mIoU on the target", highlight=False)

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
        summary=summary,
    )
    console.rule("summary")
    for name, score in scores.items():
        console.print(f"{name:12} {100 * score:5.1f} mIoU", highlight=False)
    if summary["gap_closed"] is not None:
        console.print(f"{'gap closed':12} {summary['gap_closed']:5.2f}", highlight=False)
    console.print(f"{summary['seconds']:.0f} seconds; report: {page}", highlight=False)


def _make_way(folder: Path, wanted: "Experiment") -> None:
    """Remove an earlier demo's run; one that was interrupted stays, and goes on."""
    from segue.engine.checkpoint import list_checkpoints
    from segue.engine.experiment import differences, load

    if not (folder / "experiment.yaml").is_file():
        return
    newest = list_checkpoints(folder / "checkpoints")[-1:]
    is_finished = bool(newest) and int(newest[0].name) >= wanted.steps
    if is_finished or differences(load(folder / "experiment.yaml"), wanted):
        shutil.rmtree(folder)
