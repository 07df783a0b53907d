"""What several verbs do with a run: train it, show its scores, write its report."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from segue.engine.settings import Experiment

if TYPE_CHECKING:
    import numpy as np


def train_and_report(
    experiment: Experiment, folder: Path, *, console: Console, cpu: bool = False, baseline: Path | None = None
) -> dict[str, Any] | None:
    """Train into a run folder, print the scores, and write ``report.html`` there.

    Args:
        experiment: The settings.
        folder: The run folder.
        console: Where to print.
        cpu: Stay on the processor.
        baseline: A run to put beside this one in the report.

    Returns:
        What ``scores.json`` holds, or None without labelled pictures.
    """
    from segue.cli.tables import scores_table
    from segue.engine.stages import train
    from segue.memory import keep_memory
    from segue.ranks import is_first_rank
    from segue.report.fusion_page import write_fusion_report
    from segue.report.page import write_report

    keep_memory()
    if baseline is not None and not (baseline / "experiment.yaml").is_file():
        raise ValueError(f"--baseline {baseline}: not a run folder; give one that `segue train` wrote")
    scores = train(experiment, folder, console=console, cpu=cpu)
    if not is_first_rank():
        return scores
    if scores is not None:
        console.print(
            scores_table(scores, title=f"{experiment.recipe}: {experiment.data.pair}"), soft_wrap=True
        )
    runs = [folder] if baseline is None else [baseline, folder]
    page = write_report(folder / "report.html", runs, title=f"{experiment.recipe} on {experiment.data.pair}")
    fused = folder / "fused"
    if (fused / "fusion.json").is_file():
        page_of_fusion = write_fusion_report(fused, pictures=_target_pictures(experiment))
        console.print(f"fusion  {page_of_fusion}", highlight=False, markup=False)
    console.print(f"model   {folder / 'model'}\nreport  {page}", highlight=False, markup=False)
    return scores


def _target_pictures(experiment: Experiment) -> "Callable[[str], np.ndarray]":
    """The target's pictures by name, as RGB bytes (H,W,3)."""
    from segue.engine.domains import open_domain

    target = open_domain(experiment.data, experiment.data.target, labelled=False)
    places = {target.name(index): index for index in range(len(target))}
    return lambda name: target.image(places[name]).permute(1, 2, 0).contiguous().numpy()
