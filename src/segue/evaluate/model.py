"""A trained model: whatever predicts pictures, with its classes, its colour statistics and its way of predicting."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from segue.classes import ClassList, class_list
from segue.data.picture import read_image
from segue.evaluate.plan import Plan
from segue.evaluate.predict import Predictor, normalised
from segue.models.segmenter import Segmenter
from segue.models.weights import MODEL_FILE, Card, load_model


class Prediction(NamedTuple):
    """What a model says of one picture, at the picture's size.

    Attributes:
        label: The most probable class of every pixel.
        confidence: Its probability.
    """

    label: UInt8[Tensor, "h w"]
    confidence: Float[Tensor, "h w"]


@dataclass(frozen=True)
class Model:
    """Whatever predicts pictures: a network trained here, or anybody's ONNX file.

    Attributes:
        predictor: From normalised pictures to probabilities.
        classes: What it tells apart, by training id.
        mean: Grey levels that normalisation subtracts from red, green and blue.
        std: Grey levels that normalisation divides by.
        device: Where it predicts.
    """

    predictor: Predictor
    classes: ClassList
    mean: Sequence[float]
    std: Sequence[float]
    device: torch.device

    def normalised(self, image: UInt8[Tensor, "3 h w"]) -> Float[Tensor, "1 3 h w"]:
        """One RGB picture as the network takes it."""
        return normalised(image[None], mean=self.mean, std=self.std, device=self.device)

    def probabilities(self, image: UInt8[Tensor, "3 h w"]) -> Float[Tensor, "k h w"]:
        """The probability of every class at every pixel of an RGB picture.

        Raises:
            ValueError: If the network predicts another number of classes than the model has names for.
        """
        probability = self.predictor(self.normalised(image))[0]
        if len(probability) != len(self.classes):
            raise ValueError(
                f"the network predicts {len(probability)} classes, but {len(self.classes)} are named"
            )
        return probability

    def predict(self, picture: Path | str | UInt8[Tensor, "3 h w"]) -> Prediction:
        """Predict one picture, an RGB tensor or an image file of any size.

        Raises:
            OSError: If there is no such file.
            ValueError: If the file is not a picture.
        """
        image = picture if isinstance(picture, Tensor) else read_image(Path(picture))
        confidence, label = self.probabilities(image).max(dim=0)
        return Prediction(label.to("cpu", torch.uint8), confidence.cpu())


@dataclass(frozen=True)
class TrainedModel(Model):
    """A network that was trained here.

    Attributes:
        network: On the device, in evaluation mode.
        card: What the model's folder says about it.
        plan: How it predicts, in plain values.
    """

    network: Segmenter
    card: Card
    plan: Plan

    def predicting(self, **changes: Any) -> "TrainedModel":
        """The same model with another way of predicting: any fields of :class:`Plan`, None to leave one as it is.

        Raises:
            ValueError: If a value is out of range.
        """
        plan = replace(self.plan, **{name: value for name, value in changes.items() if value is not None})
        return replace(self, plan=plan, predictor=plan.predictor(self.network))


def load(path: Path | str, *, device: torch.device | str | None = None) -> TrainedModel:
    """Load the model of a run folder or of a model folder.

    It predicts as its card says. On anything but a CUDA device it predicts in float32 whatever the card says: half
    precision saves a GPU memory and time, and can be far slower elsewhere.

    Args:
        path: What ``segue train`` or ``segue import`` wrote.
        device: "cpu", "cuda", "cuda:1", "mps"; None for the first GPU, or else the processor.

    Raises:
        FileNotFoundError: If there is no model.
        ValueError: If it is damaged, or there is no such device.
    """
    place = device if isinstance(device, torch.device) else choose_device(device)
    network, card = load_model(find_model(Path(path)))
    plan = Plan.from_protocol(card.prediction)
    if place.type != "cuda":
        plan = replace(plan, dtype=None)
    network = network.to(place)
    colours = [(red, green, blue) for red, green, blue in card.colours]
    classes = class_list(card.classes, colours)
    return TrainedModel(
        plan.predictor(network), classes, card.mean, card.std, place, network=network, card=card, plan=plan
    )


def find_model(path: Path) -> Path:
    """The model folder that a path means: itself, or the one inside a run folder.

    Raises:
        FileNotFoundError: If it is neither, or the run is not finished.
    """
    for folder in (path, path / "model"):
        if (folder / MODEL_FILE).is_file():
            return folder
    if (path / "experiment.yaml").is_file():
        raise FileNotFoundError(f"{path}: this run has no model yet; let `segue train` finish it")
    raise FileNotFoundError(f"{path}: neither a run folder nor a model folder: there is no {MODEL_FILE}")


def choose_device(name: str | None) -> torch.device:
    """The device of that name ("cpu", "cuda:1"); None for the first GPU, or else the processor.

    Raises:
        ValueError: If there is no such device.
    """
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        return torch.empty(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"device {name}: not usable here ({reason}); leave it out, or take cpu") from error
