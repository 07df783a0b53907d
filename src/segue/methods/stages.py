"""What a method of several trainings asks of the engine: trainings, labels, and who writes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import torch

from segue.classes import ClassList
from segue.data.dataset import Dataset
from segue.trees import Tree


class Stages(Protocol):
    """A run that is made of several trainings, each in a folder of its own inside the run's.

    Every stage goes on where it stood, and knows nothing of the others.

    Attributes:
        recipe: The recipe's name, for messages.
        folder: The run folder.
        classes: What is told apart.
        seed: Of the run.
        steps: The length that the settings name.
        rate: The encoder's learning rate.
        start: The run or model folder that training starts from; None for none.
        counted: The classes that scores are a mean over; None for all.
    """

    recipe: str
    folder: Path
    classes: ClassList
    seed: int
    steps: int
    rate: float
    start: Path | None
    counted: list[str] | None

    @property
    def together(self) -> int:
        """Pictures of each domain that all processes learn in a step."""
        ...

    @property
    def target(self) -> Dataset:
        """The target's pictures."""
        ...

    @property
    def device(self) -> torch.device:
        """Where networks are to work."""
        ...

    def train(self) -> dict[str, Any] | None:
        """One training of the whole, without stages; its scores, or None without labelled pictures."""
        ...

    def train_stage(
        self, folder: Path, *, start: Path | None, changes: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Train one stage.

        Args:
            folder: The stage's folder.
            start: What it starts from.
            changes: What differs from the run's settings.
        """
        ...

    def open(self, domain: Literal["source", "evaluation"]) -> Dataset | None:
        """Labelled pictures of the pair; None if it names none."""
        ...

    def shared(self, task: Callable[[tuple[int, int]], object]) -> None:
        """Let every process do its part of how many; then the first one looks again at the whole."""
        ...

    def begin(self) -> None:
        """Write the run's settings: from now on the folder is this run's."""
        ...

    def keep(self, stage: Path) -> None:
        """Make a stage's results the run's own."""
        ...

    def say(self, text: str) -> None:
        """Tell the user, once."""
        ...


def learning(labels: Path) -> Tree:
    """What makes a stage of the settings of a whole: it learns a folder of labels, and has no stages itself."""
    return {"method": {"labels": str(labels), "rounds": None, "ensemble": None}}


def pictures_by_name(dataset: Dataset) -> dict[str, int]:
    """The place of every picture by its name."""
    return {dataset.name(index): index for index in range(len(dataset))}
