"""What a method that consists of several trainings asks of the engine."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from segue.classes import ClassList
from segue.data.dataset import Dataset
from segue.evaluation.labelling import Rule, label_pictures
from segue.evaluation.model import Model
from segue.trees import Tree


class Stages(Protocol):
    """A run made of several trainings, each in a folder of its own inside the run folder.

    An interrupted stage resumes where it stopped; stages know nothing of each other.

    Attributes:
        steps: The run's length in the settings.
        rate: The encoder's learning rate.
        start: The run or model folder that training starts from; None for no such model.
        counted: The classes that the mean score is taken over; None for all.
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
        """How many pictures of each domain are learnt in a step, by all processes together."""
        ...

    @property
    def target(self) -> Dataset:
        """The target's pictures, without labels."""
        ...

    @property
    def device(self) -> torch.device:
        """The device that networks work on."""
        ...

    def train(self) -> dict[str, Any] | None:
        """Train once, without stages; returns the scores, or None without labelled pictures."""
        ...

    def train_stage(
        self, folder: Path, *, start: Path | None, changes: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Train a stage in its folder, with settings that differ from the run's by ``changes``."""
        ...

    def open(self, domain: Literal["source", "evaluation"]) -> Dataset | None:
        """The pair's labelled pictures of a domain; None if it names none."""
        ...

    def domain(self, name: Literal["source", "target"]) -> Tree:
        """A domain's settings, as plain values."""
        ...

    def shared(self, task: Callable[[tuple[int, int]], object]) -> None:
        """Call ``task((part, parts))`` on every process, then ``task((0, 1))`` on the first one to check the whole."""
        ...

    def begin(self) -> None:
        """Write the run's settings, so that no other run can use the folder from now on."""
        ...

    def keep(self, stage: Path) -> None:
        """Make a stage's results the run's own."""
        ...

    def score(self) -> dict[str, Any] | None:
        """Score the run's model, which was joined from those of stages; None without labelled pictures."""
        ...

    def say(self, text: str) -> None:
        """Print a line once, however many processes there are."""
        ...


def learning(labels: Path) -> Tree:
    """The changes that make a stage of a whole run's settings: it learns a folder of labels and has no stages."""
    return {"method": {"labels": str(labels), "rounds": None, "ensemble": None}}


def is_labelled(out: Path) -> bool:
    """Whether a folder of labels is whole.

    Ask before the processes meet: afterwards a faster one may already have finished it.
    """
    return (out / "statistics.json").is_file()


def label_together(
    stages: Stages,
    model: Model,
    dataset: Dataset,
    out: Path,
    *,
    pictures: Mapping[str, int] | None = None,
    rule: Rule | None = None,
    rule_of: Callable[[str, Tensor], Rule] | None = None,
    made: Mapping[str, Any] | None = None,
) -> None:
    """Label a data set's pictures, all processes together; what is labelled already stays.

    Args:
        pictures: Places by name, of those that are wanted; None for all.
        rule, rule_of, made: See :func:`segue.evaluation.labelling.label_pictures`.
    """
    named = pictures_by_name(dataset) if pictures is None else pictures
    stages.shared(
        lambda share: label_pictures(
            model, named, out, rule=rule, rule_of=rule_of, read=dataset.image, share=share, made=made
        )
    )


def pictures_by_name(dataset: Dataset) -> dict[str, int]:
    """The place of every picture in the data set, by its name."""
    return {dataset.name(index): index for index in range(len(dataset))}
