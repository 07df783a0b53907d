"""Weights in files: pretrained encoders, trained models, and the student with the weights that it starts from."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save
from torch import nn

from segue.classes import ClassList, class_list
from segue.files import write_bytes, write_text
from segue.models.averaged import build_network
from segue.models.batch_norms import AS_TRAINED
from segue.models.build import build_segmenter
from segue.models.encoders.encoder import Encoder
from segue.models.segmenter import Segmenter
from segue.models.settings import NetworkSettings
from segue.models.tensor_files import check_fit, read_state
from segue.protocol import PredictionProtocol

MODEL_FILE = "model.safetensors"
CARD_FILE = "card.json"

LATER = {"batch_statistics"}
"""Keys that cards of earlier versions lack."""


@dataclass(frozen=True)
class Card:
    """What a model folder says about its model.

    Attributes:
        classes: Class names, by training id.
        mean: What is subtracted from each colour channel, in 0 to 255.
        std: What each colour channel is then divided by.
        network: The arguments of ``build_segmenter``, or under "members" those of several networks,
            or under "adjusted" those of one whose logits are moved.
        prediction: How the target's pictures are predicted.
        versions: Versions of the software that wrote it.
        batch_statistics: Whose batch statistics the weights hold, see ``batch_norms``; None without batch norms.
    """

    classes: Sequence[str]
    colours: Sequence[Sequence[int]]
    mean: Sequence[float]
    std: Sequence[float]
    network: Mapping[str, Any]
    prediction: PredictionProtocol
    recipe: str
    step: int
    versions: Mapping[str, str] = field(default_factory=dict[str, str])
    batch_statistics: str | None = AS_TRAINED

    def __post_init__(self) -> None:
        check_normalisation(self.mean, self.std)
        kinds: dict[str, type] = {"network": dict, "versions": dict, "recipe": str, "step": int}
        wrong = [name for name, kind in kinds.items() if not isinstance(getattr(self, name), kind)]
        if wrong:
            raise ValueError(f"{wrong[0]} is {getattr(self, wrong[0])!r}")
        if not self.classes or {type(name) for name in self.classes} != {str}:
            raise ValueError(f"classes are {self.classes!r}, not names")
        if self.network.get("num_classes", len(self.classes)) != len(self.classes):
            raise ValueError(
                f"{len(self.classes)} classes, but the network has {self.network['num_classes']}"
            )
        parts = [part for colour in self.colours for part in colour]
        if len(parts) != 3 * len(self.classes) or not all(type(p) is int and 0 <= p <= 255 for p in parts):
            raise ValueError("colours are not three whole numbers from 0 to 255 for each class")
        assert self.class_list, "it raises a ValueError if a name comes twice"

    @property
    def class_list(self) -> ClassList:
        """Classes and colours together."""
        return class_list(self.classes, [(red, green, blue) for red, green, blue in self.colours])

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "prediction": self.prediction.to_json()}


def check_normalisation(mean: Sequence[object], std: Sequence[object]) -> None:
    """Raise ``ValueError`` unless mean and std are three finite numbers each, those of std above 0."""
    for name, values in (("mean", mean), ("std", std)):
        numbers = [value for value in values if isinstance(value, int | float) and math.isfinite(value)]
        if len(values) != 3 or len(numbers) != 3:
            raise ValueError(f"{name} is {values!r}, not three numbers, of red, green and blue")
        if name == "std" and min(numbers) <= 0:
            raise ValueError(f"std is {values!r}: normalisation divides by it, so each is above 0")


def save_model(folder: Path, segmenter: nn.Module, card: Card) -> None:
    """Write a model folder: weights and card, each complete or not there at all; an older model is replaced.

    ``card.network`` describes the segmenter.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in segmenter.state_dict().items()}
    write_bytes(folder / MODEL_FILE, save(state))
    write_text(folder / CARD_FILE, json.dumps(card.to_json(), indent=2) + "\n")


def load_model(folder: Path) -> tuple[Segmenter, Card]:
    """The network, in evaluation mode, and the card that ``save_model`` wrote.

    Raises:
        FileNotFoundError: If the folder, its card or its weights do not exist.
        ValueError: If the card or the weights are damaged or do not fit together.
    """
    card = _read_card(folder / CARD_FILE)
    path = folder / MODEL_FILE
    state = {
        name: value.float() if value.is_floating_point() else value
        for name, value in read_state(path).items()
    }
    with torch.device("meta"):
        try:
            segmenter = build_network(card.network)
        except (TypeError, ValueError, RuntimeError, AttributeError, KeyError, OverflowError) as error:
            raise ValueError(
                f"{folder / CARD_FILE}: its network cannot be built: {_one_line(error)}"
            ) from error
    check_fit(segmenter, state, path)
    segmenter.load_state_dict(state, assign=True)
    return cast(Segmenter, segmenter.eval()), card


def model_folder(folder: Path) -> Path:
    """A model folder itself, or that of a run folder."""
    return folder if (folder / MODEL_FILE).is_file() else folder / "model"


def weights_digest(folder: Path) -> str:
    """A short fingerprint of a model's weights file."""
    return hashlib.sha256((model_folder(folder) / MODEL_FILE).read_bytes()).hexdigest()[:16]


def load_start(segmenter: Segmenter, folder: Path, classes: Sequence[str]) -> None:
    """Fill a whole network, encoder and head, with the weights of a model folder or of a run folder's model.

    Raises:
        FileNotFoundError: If there is no model.
        ValueError: If it is damaged, its names or shapes are not the network's, or its classes are others.
    """
    path = model_folder(folder) / MODEL_FILE
    state = read_state(path)
    own = _read_card(path.parent / CARD_FILE).classes
    if list(own) != list(classes):
        raise ValueError(
            f"network.start: {folder} was trained on the classes {', '.join(own)}, and this pair has"
            f" {', '.join(classes)}; a start needs the same ones in the same order"
        )
    check_fit(segmenter, state, path)
    segmenter.load_state_dict(state)


def load_encoder(encoder: Encoder, path: Path) -> None:
    """Fill an encoder with pretrained weights; every parameter must be in the file, in its shape.

    Tensors of the ImageNet classifier are skipped: their names begin with one of the encoder's
    ``classifier_names``. Half-precision weights are widened.

    Args:
        path: A ``.safetensors`` file, or a PyTorch file of tensors only; bare, or under "state_dict" or
            "model". In a folder, the file ``model.safetensors`` is read.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, or its names or shapes are not the encoder's.
    """
    state = encoder.translated(read_state(path / MODEL_FILE if path.is_dir() else path))
    check_fit(encoder.pretrained, state, path)
    encoder.pretrained.load_state_dict(state, strict=False)


def build_student(settings: NetworkSettings, *, classes: Sequence[str], crop: tuple[int, int]) -> Segmenter:
    """The network that a run trains, with its starting weights; random ones follow from torch's current seed.

    Args:
        classes: Their names, by training id.
        crop: Height and width of training crops.

    Raises:
        FileNotFoundError: If a file of weights is missing.
        ValueError: If weights do not fit the network.
    """
    student = build_segmenter(**settings.arguments(classes=len(classes), crop=crop))
    if settings.checkpoint_stages and not student.encoder.can_checkpoint:
        raise ValueError(
            f"network.checkpoint_stages: {settings.encoder} has no stages that can be computed again; leave it out,"
            " or take a mit_ or vit_ encoder"
        )
    student.encoder.checkpointed = tuple(settings.checkpoint_stages)
    if settings.weights is not None:
        load_encoder(student.encoder, settings.weights)
    if settings.start is not None:
        load_start(student, settings.start, classes)
    return student


def _read_card(path: Path) -> Card:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; a model folder holds {MODEL_FILE} and {CARD_FILE}")
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: damaged ({error}); copy or export the model again") from error
    expected = {entry.name for entry in fields(Card)}
    if not isinstance(content, dict) or expected - LATER != content.keys() - LATER:
        raise ValueError(
            f"{path}: not a model card; it must have exactly the keys {', '.join(sorted(expected))}"
        )
    values: dict[str, Any] = content
    try:
        values["prediction"] = PredictionProtocol.from_json(values["prediction"])
        return Card(**values)
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
        raise ValueError(f"{path}: {_one_line(error)}; copy or export the model again") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
