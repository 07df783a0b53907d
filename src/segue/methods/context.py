"""What a piece of a method may know of its run, what it may use before training, and what it leaves behind."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from segue.classes import ClassList
from segue.data.dataset import Dataset
from segue.models.build import normalisation
from segue.models.segmenter import Segmenter
from segue.models.settings import NetworkSettings
from segue.models.weights import Card, build_student

PAPER_STEPS = 40_000
"""The length of the papers' runs, which their rates per step and intervals refer to."""


@dataclass(frozen=True)
class Context:
    """The run that a piece is built for.

    Attributes:
        recipe: For messages.
        crop: Height and width of training crops.
        network: The student's settings.
        student: With its starting weights.
    """

    recipe: str
    steps: int
    seed: int
    classes: ClassList
    crop: tuple[int, int]
    network: NetworkSettings
    student: Segmenter

    @property
    def colours(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Mean and standard deviation, in grey levels, by which the student's pictures are normalised."""
        return normalisation(self.network.encoder)

    @property
    def is_pretrained(self) -> bool:
        """Whether the student starts from anything but random numbers."""
        return self.network.weights is not None or self.network.start is not None

    def reference(self) -> nn.Module:
        """The feature network with ``network.weights`` alone, also where the student starts from ``network.start``."""
        if self.network.start is None:
            return self.student.feature_network()
        before = self.network.model_copy(update={"start": None})
        return build_student(before, classes=self.classes.names, crop=self.crop).feature_network()

    def check_model(self, card: Card, path: Path) -> None:
        """Raise ``ValueError`` if a trained model cannot teach the student: its classes or its colours differ."""
        if list(card.classes) != list(self.classes.names):
            raise ValueError(
                f"{path}: the teacher was trained on other classes ({', '.join(card.classes)}) than this pair has"
                f" ({', '.join(self.classes.names)})"
            )
        if (tuple(card.mean), tuple(card.std)) != self.colours:
            raise ValueError(
                f"{path}: the teacher's encoder normalises colours otherwise than {self.network.encoder}; choose a"
                " student encoder of the same family"
            )


@dataclass(frozen=True)
class Preparation:
    """What a method may use before its first step.

    Attributes:
        target: None for a method that looks at no target pictures.
        resize: By domain, the box (height, width) that its pictures are fitted into; None for their own size.
    """

    folder: Path
    source: Dataset
    target: Dataset | None
    resize: Mapping[str, tuple[int, int] | None]
    device: torch.device


@dataclass(frozen=True)
class Trained:
    """A network that a method leaves behind.

    Attributes:
        called: Its name in scores.
        arguments: Those of ``build_segmenter``; None if it is built like the student.
        sees_pictures: Whether the run's pictures moved its batch statistics.
    """

    network: nn.Module
    called: str = "student"
    arguments: Mapping[str, Any] | None = None
    sees_pictures: bool = True
