"""Members of a fusion: models, ONNX files, or folders of PNGs, each with a class list of its own."""

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
    """Anything whose predictions can be fused."""

    @property
    def name(self) -> str:
        """What the user calls it."""
        ...

    @property
    def label(self) -> Callable[[str], UInt8[Tensor, "h w"]]:
        """From a picture's name to its fused class ids, IGNORE without a label."""
        ...

    @property
    def has_probabilities(self) -> bool:
        """Whether it has more than labels."""
        ...

    def probability(self, picture: str) -> Float[Tensor, "k h w"]:
        """The probability of every fused class; a ValueError if the member has none."""
        ...


@dataclass(frozen=True)
class FolderMember:
    """A folder of PNG files with class numbers, whoever made them.

    Attributes:
        soft: The folder in which ``segue label --soft`` stored all probabilities, if it did.
        table: From its classes, in the order of their numbers, to the fused ones.
        classes: The number of fused classes.
    """

    name: str
    label: NamedLabels
    soft: Path | None
    table: LabelTable
    classes: int

    @property
    def has_probabilities(self) -> bool:
        """Whether they are stored beside the labels."""
        return self.soft is not None

    def probability(self, picture: str) -> Float[Tensor, "k h w"]:
        """The stored probabilities; a ValueError if there are none."""
        path = None if self.soft is None else self.soft / f"{picture}.npz"
        if path is None or not path.is_file():
            raise ValueError(
                f"member {self.name}: no probabilities of picture {picture!r}; make them with `segue label --soft`"
            )
        return merged(unpacked(path), self.table, self.classes)


@dataclass
class ModelMember:
    """A model that predicts the pictures.

    Attributes:
        images: Files, or indices in a data set, by name; ``read`` opens one.
        table: From its own classes to the fused ones.
        classes: The number of fused classes.
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
        """Always true."""
        return True

    def label(self, picture: str) -> UInt8[Tensor, "h w"]:
        """The fused class for the most probable of its own classes."""
        probability = self._own(picture)
        label = classify(probability[None], (probability.shape[-2], probability.shape[-1]))[0].cpu()
        return self.table.translate(label.numpy(), self.name)

    def probability(self, picture: str) -> Float[Tensor, "k h w"]:
        """For each fused class, the sum over those of its own classes that stand for it."""
        return merged(self._own(picture), self.table, self.classes).cpu()

    def _own(self, picture: str) -> Tensor:
        # A picture's label and its probabilities are asked for one after the other: it is predicted once.
        if self._last is None or self._last[0] != picture:
            self._last = (picture, self.model.probabilities(self.read(self.images[picture])[None])[0])
        return self._last[1]


@dataclass(frozen=True)
class OpenedMembers:
    """Members that fit together.

    Attributes:
        members: In the order given.
        names: The pictures, which all of them have.
    """

    members: list[Member]
    classes: ClassList
    names: list[str]


def merged(probability: Float[Tensor, "j h w"], table: LabelTable, classes: int) -> Float[Tensor, "k h w"]:
    """The probabilities of fused classes: sums over the own classes that stand for each."""
    # The last row takes the classes that are ignored, and is dropped.
    sums = probability.new_zeros(classes + 1, *probability.shape[-2:])
    goals = torch.from_numpy(table.ids[: len(probability)].astype("int64")).clamp(max=classes)
    return sums.index_add_(0, goals.to(probability.device), probability)[:classes]
