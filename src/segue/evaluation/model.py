"""Models that predict the classes of pictures: trained ones, with their card and protocol, or any other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor, nn

from segue.classes import ClassList
from segue.data.folder_files import find_pictures
from segue.data.picture import as_image, read_image
from segue.evaluation.predictors import Predictor, classify, predictor_of
from segue.evaluation.read_ahead import read_ahead
from segue.models.batch_norms import batch_norms
from segue.models.segmenter import Segmenter
from segue.models.weights import MODEL_FILE, Card, load_model
from segue.ops.draw import Picture, colourise, overlay
from segue.precision import settle
from segue.protocol import PredictionProtocol


@dataclass(frozen=True)
class Prediction:
    """What a model predicts for one picture.

    Attributes:
        picture: RGB, upright.
        index: The place of the most probable class in ``classes``.
        confidence: Its probability.
        probabilities: Those of all classes, on the model's device; None unless asked for.
    """

    picture: Picture
    index: UInt8[np.ndarray, "h w"]
    confidence: Float[np.ndarray, "h w"]
    classes: ClassList
    probabilities: Float[Tensor, "k h w"] | None = None

    @property
    def colours(self) -> Picture:
        """The colour of each pixel's class."""
        return colourise(torch.from_numpy(self.index), self.classes.colours)

    @property
    def overlay(self) -> Picture:
        """The colours laid over the picture."""
        return overlay(self.picture, self.colours)


@dataclass(eq=False)
class Model:
    """Anything that predicts.

    Attributes:
        classes: In training order.
        mean: Grey levels that normalisation subtracts from red, green and blue.
        std: Grey levels that normalisation divides by.
    """

    predictor: Predictor
    classes: ClassList
    mean: Sequence[float]
    std: Sequence[float]
    device: torch.device

    @property
    def names_pictures(self) -> bool:
        """Whether it gives each picture one class, instead of each pixel."""
        return False

    def normalised(self, images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Pictures as the network takes them, on the model's device."""
        mean, std = (
            torch.tensor(levels, dtype=torch.float32, device=self.device) for levels in (self.mean, self.std)
        )
        return images.to(self.device).float().sub_(mean.view(3, 1, 1)).div_(std.view(3, 1, 1))

    def probabilities(self, images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        """The probability of every class at every pixel, on the model's device.

        Args:
            images: RGB, 0 to 255, on any device.

        Raises:
            ValueError: If the predictor has another number of classes than the model names.
        """
        probability = self.predictor(self.normalised(images))
        if probability.shape[1] != len(self.classes):
            raise ValueError(
                f"the model predicts {probability.shape[1]} classes, but {len(self.classes)} are named"
            )
        return probability

    def classes_of(self, images: UInt8[Tensor, "b 3 h w"]) -> UInt8[Tensor, "b h w"]:
        """The place of the most probable class at every pixel, on the model's device."""
        return classify(self.probabilities(images), (images.shape[-2], images.shape[-1]))

    def predict(
        self, picture: Path | str | Image.Image | np.ndarray | Tensor, *, probabilities: bool = False
    ) -> Prediction:
        """The classes of one picture, at its size.

        Args:
            picture: A file, a Pillow image, bytes (H,W,3) in RGB, or a tensor of bytes (3,H,W).
            probabilities: Whether to return the probabilities of all classes, too.

        Raises:
            ValueError: If it is not a picture.
            OSError: If the file cannot be read.
        """
        image = picture if isinstance(picture, Tensor) else as_image(picture)
        probability = self.probabilities(image[None])[0]
        if probability.shape[-2:] == (1, 1):
            probability = probability.expand(-1, *image.shape[-2:])
        highest = probability.max(dim=0)
        return Prediction(
            image.permute(1, 2, 0).cpu().numpy(),
            highest.indices.to("cpu", torch.uint8).numpy(),
            highest.values.cpu().numpy(),
            self.classes,
            probability if probabilities else None,
        )

    def predict_folder(
        self, folder: Path | str, *, probabilities: bool = False
    ) -> Iterator[tuple[str, Prediction]]:
        """The classes of all pictures below a folder, one after the other, while the next one is read.

        Yields:
            The picture's path below the folder, without extension, and its prediction.

        Raises:
            ValueError: If there is no picture, or one, when its turn comes, cannot be read.
            FileNotFoundError: If there is no such folder.
        """
        pictures = find_pictures(Path(folder))
        for name, image in read_ahead(lambda name: read_image(pictures[name]), pictures):
            yield name, self.predict(image, probabilities=probabilities)

    def described(self) -> Mapping[str, Any]:
        """How it predicts, as plain values to be kept beside its scores."""
        return {}


class TrainedModel(Model):
    """A network with its card, which predicts by a protocol.

    Args:
        network: It is moved to the device.
        protocol: The card's by default.
        run: The folder of the run that the model belongs to, if any.
        role: What scores call the network.

    Attributes:
        batch_statistics: Where its batch statistics come from, in the card's words; None without batch norms.
    """

    def __init__(
        self,
        network: nn.Module,
        card: Card,
        device: torch.device,
        *,
        protocol: PredictionProtocol | None = None,
        run: Path | None = None,
        role: str = "student",
    ) -> None:
        self.network = cast(Segmenter, network.to(device))
        self.card = card
        self.protocol = protocol or card.prediction
        self.run = run
        self.role = role
        self.batch_statistics = card.batch_statistics if batch_norms(network) else None
        predictor = predictor_of(self.network, self.protocol)
        super().__init__(predictor, card.class_list, card.mean, card.std, device)

    @property
    def names_pictures(self) -> bool:
        """That of the network; averages of networks and translated ones are of pixels."""
        return getattr(self.network, "names_pictures", False)

    @classmethod
    def load(cls, path: Path, device: torch.device | str | None = None, **changes: Any) -> "TrainedModel":
        """The model of a run folder or of a model folder.

        Args:
            device: As for :func:`choose_device`.
            changes: Values of the protocol that replace the card's.

        Raises:
            FileNotFoundError: If there is no model.
            ValueError: If it is damaged, or a changed value is out of its range.
        """
        chosen = choose_device(device)
        folder, run = locate(path)
        network, card = load_model(folder)
        protocol = replace(card.prediction, **changes)
        if chosen.type != "cuda" and "precision" not in changes:
            # Half precision saves memory and time on a GPU; on a processor without bf16 it is far slower.
            protocol = replace(protocol, precision="float32")
        return cls(network, card, chosen, protocol=protocol, run=run)

    def described(self) -> Mapping[str, Any]:
        """Network, batch statistics and protocol."""
        return {
            "network": self.role,
            "batch_statistics": self.batch_statistics,
            **self.protocol.to_json(),
        }


def locate(path: Path) -> tuple[Path, Path | None]:
    """The model folder, and the run folder around it, if any; a FileNotFoundError if there is no model."""
    if (path / MODEL_FILE).is_file():
        run = path.resolve().parent if path.resolve().name in ("model", "teacher") else None
        return path, run if run is not None and (run / "experiment.yaml").is_file() else None
    is_run = (path / "experiment.yaml").is_file()
    if (path / "model" / MODEL_FILE).is_file():
        return path / "model", path if is_run else None
    if is_run:
        raise FileNotFoundError(f"{path}: this run has no model yet; let `segue train` finish it")
    raise FileNotFoundError(f"{path}: neither a run folder nor a model folder: there is no {MODEL_FILE}")


def choose_device(name: torch.device | str | None) -> torch.device:
    """The device called "cpu", "cuda", "cuda:1" or "mps"; without a name, the first GPU or else the processor.

    Raises:
        ValueError: If this machine has no such device.
    """
    settle()
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        return torch.empty(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"device {name}: not usable here ({reason}); leave it out, or take cpu") from error
