"""Whose predictions are fused: models, ONNX files, or folders of PNGs with their own class lists."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from segue.classes import ClassList
from segue.data.class_map import LabelTable
from segue.data.named_labels import NamedLabels
from segue.evaluation.model import Model
from segue.evaluation.predictors import classify
from segue.evaluation.soft_labels import unpacked


class Member(Protocol):
    """One whose predictions are fused."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def label(self) -> Callable[[str], UInt8[Tensor, "h w"]]:
        """A picture's class for every pixel, in the fused classes; IGNORE where it says nothing."""
        ...

    @property
    def has_probabilities(self) -> bool:
        """Whether it says more than labels."""
        ...

    def probability(self, picture: str) -> Float[Tensor, "k h w"]:
        """Its probability of every fused class.

        Raises:
            ValueError: If it has none.
        """
        ...


@dataclass(frozen=True)
class FolderMember:
    """PNG files with class numbers, by anybody's hand.

    Attributes:
        name: What it is called.
        label: Its class for every pixel of a picture.
        soft: Where ``segue label --soft`` stored all probabilities; None without.
        table: From the places of its classes, in the order of their numbers, to the fused ones.
        classes: How many fused classes there are.
    """

    name: str
    label: NamedLabels
    soft: Path | None
    table: LabelTable
    classes: int

    @property
    def has_probabilities(self) -> bool:
        """Whether there are any beside the labels."""
        return self.soft is not None

    def probability(self, picture: str) -> Float[Tensor, "k h w"]:
        """What was stored beside it.

        Raises:
            ValueError: If nothing was.
        """
        path = None if self.soft is None else self.soft / f"{picture}.npz"
        if path is None or not path.is_file():
            raise ValueError(
                f"member {self.name}: no probabilities of picture {picture!r}; make them with `segue label --soft`"
            )
        return merged(unpacked(path), self.table, self.classes)


@dataclass
class ModelMember:
    """A network, or anything else that predicts.

    Attributes:
        name: What it is called.
        model: Whoever predicts.
        images: Files, or numbers in a data set, by name.
        read: Opens one.
        table: From its own classes to the fused ones.
        classes: How many fused classes there are.
    """

    name: str
    model: Model
    images: Mapping[str, Any]
    read: Callable[[Any], Tensor]
    table: LabelTable
    classes: int
    _last: tuple[str, Tensor] | None = None

    @property
    def has_probabilities(self) -> bool:
        """It always predicts them."""
        return True

    def label(self, picture: str) -> UInt8[Tensor, "h w"]:
        """The most probable of its own classes, translated."""
        probability = self._own(picture)
        label = classify(probability[None], (probability.shape[-2], probability.shape[-1]))[0].cpu()
        return self.table.translate(label.numpy(), self.name)

    def probability(self, picture: str) -> Float[Tensor, "k h w"]:
        """Sums of its own classes' probabilities."""
        return merged(self._own(picture), self.table, self.classes).cpu()

    def _own(self, picture: str) -> Tensor:
        if self._last is None or self._last[0] != picture:
            self._last = (picture, self.model.probabilities(self.read(self.images[picture])[None])[0])
        return self._last[1]


@dataclass(frozen=True)
class OpenedMembers:
    """Members that fit together.

    Attributes:
        members: In the order given.
        classes: Of the result.
        names: The pictures that all of them have.
    """

    members: list[Member]
    classes: ClassList
    names: list[str]


def merged(probability: Float[Tensor, "j h w"], table: LabelTable, classes: int) -> Float[Tensor, "k h w"]:
    """Probabilities of fused classes: sums over the own classes that stand for each."""
    sums = probability.new_zeros(classes + 1, *probability.shape[-2:])
    goals = torch.from_numpy(table.ids[: len(probability)].astype("int64")).clamp(max=classes)
    return sums.index_add_(0, goals.to(probability.device), probability)[:classes]
