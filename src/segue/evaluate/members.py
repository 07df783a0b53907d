"""Whose predictions are fused: models, ONNX files, or folders of PNGs with their own class lists."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from segue.classes import class_list
from segue.data.class_map import LabelTable
from segue.data.named_labels import NamedLabels
from segue.evaluate.labelling import Eye, unpacked
from segue.evaluate.plan import Plan
from segue.evaluate.predict import Predictor, classify
from segue.models.weights import load_model, model_folder
from segue.ops.resize import enlarge


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
        eye: How it looks at pictures.
        images: Files, or numbers in a data set, by name.
        read: Opens one.
        table: From its own classes to the fused ones.
        classes: How many fused classes there are.
    """

    name: str
    eye: Eye
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
            self._last = (picture, self.eye(self.read(self.images[picture])))
        return self._last[1]


def merged(probability: Float[Tensor, "j h w"], table: LabelTable, classes: int) -> Float[Tensor, "k h w"]:
    """Probabilities of fused classes: sums over the own classes that stand for each."""
    found = probability.new_zeros(classes + 1, *probability.shape[-2:])
    goals = torch.from_numpy(table.ids[: len(probability)].astype("int64")).clamp(max=classes)
    return found.index_add_(0, goals.to(probability.device), probability)[:classes]


def model_eye(folder: Path, device: torch.device, **looks: Any) -> Eye:
    """A trained model with the way of predicting that its card names.

    Args:
        folder: A model folder, or a run folder with one in it.
        device: Where it is to predict.
        looks: What of that way is another: ``flip``, ``scales``, see :class:`segue.evaluate.plan.Plan`.

    Raises:
        FileNotFoundError: If there is no model.
        ValueError: If it is damaged.
    """
    network, card = load_model(model_folder(folder))
    how = replace(Plan.from_protocol(card.prediction), **looks)
    if device.type != "cuda":
        how = replace(how, dtype=None)
    colours = [(red, green, blue) for red, green, blue in card.colours]
    classes = class_list(card.classes, colours)
    return Eye(how.predictor(network.to(device)), classes, card.mean, card.std, device)


def onnx_eye(path: Path) -> Eye:
    """An ONNX network; NAME.json beside NAME.onnx says its classes, and mean and std in grey levels.

    Raises:
        FileNotFoundError: If one of the two is not there.
        ValueError: If one of the two is something else.
    """
    predictor, beside = onnx_predictor(path), path.with_suffix(".json")
    if not beside.is_file():
        raise FileNotFoundError(
            f"{beside}: no such file; it names the classes of {path.name}, and mean and std in grey levels"
        )
    try:
        content: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))
        mean, std = ([float(part) for part in content[key]] for key in ("mean", "std"))
        if len(mean) != 3 or len(std) != 3:
            raise ValueError("mean and std are three numbers each, of red, green and blue")
        return Eye(predictor, class_list(content["classes"]), mean, std, torch.device("cpu"))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{beside}: it needs the keys classes, mean and std: {error}") from None


def onnx_predictor(path: Path) -> Predictor:
    """An ONNX network with one input (B,3,H,W) and one output (B,K,h,w): logits, or probabilities.

    Args:
        path: The file.

    Returns:
        A predictor on the processor.

    Raises:
        ValueError: If onnxruntime is not installed, or the file is not such a network.
        FileNotFoundError: If there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        import onnxruntime
    except ImportError as error:
        raise ValueError("ONNX members need onnxruntime: pip install 'segue-uda[export]'") from error
    try:
        session: Any = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises kinds of its own that share no public base
        raise ValueError(f"{path}: not an ONNX network: {' '.join(str(error).split())[:200]}") from error
    entry = session.get_inputs()[0].name

    def predict(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        try:
            found = torch.from_numpy(session.run(None, {entry: image.cpu().numpy()})[0]).float()
        except Exception as error:  # as above
            shape = "x".join(map(str, image.shape))
            raise ValueError(
                f"{path}: it does not take a picture of shape {shape}; export it with free height and width"
                f" ({' '.join(str(error).split())[:200]})"
            ) from error
        if found.ndim != 4:
            raise ValueError(f"{path}: its output has {found.ndim} axes, not (B,K,H,W)")
        sums = found.sum(1)
        is_probability = bool((found >= 0).all()) and bool(((sums - 1).abs() < 1e-3).all())
        size = (image.shape[-2], image.shape[-1])
        return enlarge(found if is_probability else found.softmax(1), size)

    return predict
