"""A run of any recipe: one training, or the several that its method consists of.

The run folder then holds a folder for each stage, which resumes where it stopped; the results of the last stage become
the run's own model, scores and logs.
"""

import shutil
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console

from segue.data.dataset import Dataset
from segue.engine import experiment as experiments
from segue.engine import run
from segue.engine.domains import open_domain, training_classes
from segue.engine.run_lock import locked
from segue.engine.run_scores import score_joined
from segue.engine.settings import Experiment
from segue.engine.witness import BEST
from segue.evaluation import evidence
from segue.evaluation.evidence import RECORD_FILE
from segue.files import part_beside, write_text
from segue.progress import showing
from segue.ranks import is_first_rank, join, launched, processes, rank, wait_for_all
from segue.trees import Tree

RESULTS = (
    "model",
    "scores.json",
    RECORD_FILE,
    "metrics.jsonl",
    "timing.jsonl",
    "pictures",
    "class_statistics.json",
    BEST,
)


def train(
    experiment: Experiment, folder: Path, *, console: Console, cpu: bool = False
) -> dict[str, Any] | None:
    """Carry out a run of any recipe in its folder; ``cpu`` ignores accelerators.

    It returns and raises what :func:`segue.engine.run.train` does; wrong members raise ``ValueError``, too, and a
    folder that another process works in raises ``OSError``.
    """
    # The first process of the launch holds the folder for all.
    is_first = launched()[0] == 0
    with locked(folder) if is_first else nullcontext(), showing(console if is_first else None):
        return experiment.method.carry_out(_RunStages(experiment, folder, console, cpu))


class _RunStages:
    """What :class:`segue.methods.stages.Stages` says."""

    def __init__(self, experiment: Experiment, folder: Path, console: Console, cpu: bool) -> None:
        self.experiment = experiment
        self.folder = folder
        self.console = console
        self.cpu = cpu
        self.recipe = experiment.recipe
        self.seed = experiment.seed
        self.steps = experiment.steps
        self.rate = experiment.optim.lr
        self.start = experiment.network.start
        self.counted = experiment.evaluation.classes
        self.classes = training_classes(experiment.data)
        self.first: Path | None = None

    @property
    def device(self) -> torch.device:
        # A property, as joining makes the processes meet, which a plain training leaves to its Accelerator.
        return join(cpu=self.cpu)

    @property
    def together(self) -> int:
        return self.experiment.data.batch * processes() * self.experiment.optim.accumulate

    @property
    def target(self) -> Dataset:
        return open_domain(self.experiment.data, self.experiment.data.target, labelled=False)

    def train(self) -> dict[str, Any] | None:
        return run.train(self.experiment, self.folder, console=self.console, cpu=self.cpu)

    def train_stage(
        self, folder: Path, *, start: Path | None, changes: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        origin = {"network": {"start": None if start is None else str(start)}}
        stage = experiments.revise(self.experiment, origin, changes)
        self.first = self.first or folder
        return run.train(stage, folder, console=self.console, cpu=self.cpu)

    def open(self, domain: Literal["source", "evaluation"]) -> Dataset | None:
        data = self.experiment.data
        wanted = data.source if domain == "source" else data.evaluation
        return None if wanted is None else open_domain(data, wanted, labelled=True)

    def domain(self, name: Literal["source", "target"]) -> Tree:
        data: Tree = self.experiment.data.model_dump(mode="json")
        return data[name]

    def shared(self, task: Callable[[tuple[int, int]], object]) -> None:
        task((rank(), processes()))
        wait_for_all()
        # Now the first process goes over all pictures once more, as no process has seen more than its part.
        if is_first_rank() and processes() > 1:
            task((0, 1))
        wait_for_all()

    def begin(self) -> None:
        join(cpu=self.cpu)
        if is_first_rank():
            run.same_experiment(self.folder, self.experiment)
            experiments.save(self.experiment, self.folder / "experiment.yaml")
        wait_for_all()

    def keep(self, stage: Path) -> None:
        if is_first_rank():
            for name in RESULTS:
                _replace(stage / name, self.folder / name)
            if self.first is not None:
                evidence.begin_at(self.folder, self.first)
        wait_for_all()

    def score(self) -> dict[str, Any] | None:
        if is_first_rank():
            shutil.rmtree(self.folder / BEST, ignore_errors=True)  # of a stage, not of what was joined
        return score_joined(self.experiment, self.folder, self.device)

    def say(self, text: str) -> None:
        if is_first_rank():
            self.console.print(text, highlight=False)


def _replace(source: Path, goal: Path) -> None:
    if source.is_dir():
        beside = part_beside(goal)
        shutil.copytree(source, beside)
        shutil.rmtree(goal, ignore_errors=True)
        beside.rename(goal)
    elif source.is_file():
        write_text(goal, source.read_text(encoding="utf-8"))
