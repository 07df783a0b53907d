"""Weights in files: pretrained encoders in, trained models out and in."""

import json
import pickle
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from segue.files import write_bytes, write_text
from segue.models.build import build_segmenter
from segue.models.encoders.encoder import Encoder
from segue.models.segmenter import Segmenter

State = dict[str, Tensor]

MODEL_FILE = "model.safetensors"
CARD_FILE = "card.json"


@dataclass(frozen=True)
class Card:
    """What a model folder says about its model.

    Attributes:
        classes: Class names, by training id.
        colours: Their colours, 0 to 255.
        mean: What is taken off each colour channel, in 0 to 255.
        std: What each colour channel is then divided by.
        network: The arguments of ``build_segmenter``.
        prediction: How the target's pictures are predicted: what ``evaluate.plan.Plan.protocol`` wrote.
        recipe: The recipe that trained it.
        step: Training steps done.
        versions: Versions of the software that wrote it.
    """

    classes: Sequence[str]
    colours: Sequence[Sequence[int]]
    mean: Sequence[float]
    std: Sequence[float]
    network: Mapping[str, Any]
    prediction: Mapping[str, Any]
    recipe: str
    step: int
    versions: Mapping[str, str] = field(default_factory=dict[str, str])


def save_model(folder: Path, segmenter: nn.Module, card: Card) -> None:
    """Write a model folder: weights and card, each complete or not there at all.

    Args:
        folder: Made if it does not exist; an older model in it is replaced.
        segmenter: The network that ``card.network`` describes.
        card: What is to be known about it.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in segmenter.state_dict().items()}
    write_bytes(folder / MODEL_FILE, save(state))
    write_text(folder / CARD_FILE, json.dumps(asdict(card), indent=2) + "\n")


def load_model(folder: Path) -> tuple[Segmenter, Card]:
    """Read a model folder; the network comes in evaluation mode.

    Args:
        folder: What ``save_model`` wrote.

    Returns:
        The network and its card.

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
            segmenter = build_segmenter(**card.network)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{folder / CARD_FILE}: its network cannot be built: {error}") from error
    check_fit(segmenter, state, path)
    segmenter.load_state_dict(state, assign=True)
    return segmenter.eval(), card


def load_start(segmenter: Segmenter, folder: Path) -> None:
    """Fill a whole network with the weights of a trained one, encoder and head.

    Args:
        segmenter: The network to fill.
        folder: A model folder, or a run folder with one in it.

    Raises:
        FileNotFoundError: If there is no model.
        ValueError: If it is damaged or its names or shapes are not the network's.
    """
    path = folder / MODEL_FILE if (folder / MODEL_FILE).is_file() else folder / "model" / MODEL_FILE
    state = read_state(path)
    check_fit(segmenter, state, path)
    segmenter.load_state_dict(state)


def load_encoder(encoder: Encoder, path: Path) -> None:
    """Fill an encoder with pretrained weights; every parameter must be in the file, in its shape.

    What the file holds for the ImageNet classifier is left out: names beginning with one of the encoder's
    ``classifier_names``. Half-precision weights are widened.

    Args:
        encoder: One of ``build.ENCODERS``.
        path: A ``.safetensors`` file, or a PyTorch file of tensors only; bare, or under "state_dict" or
            "model". Of a folder, the file ``model.safetensors`` is read.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, or its names or shapes are not the encoder's.
    """
    state = encoder.translated(read_state(path / MODEL_FILE if path.is_dir() else path))
    check_fit(encoder.pretrained, state, path)
    encoder.pretrained.load_state_dict(state, strict=False)


def read_state(path: Path) -> State:
    """The tensors of a weights file by name.

    Args:
        path: A ``.safetensors`` file, or a PyTorch file; the latter is read without executing anything in it.

    Returns:
        Tensors on the CPU, in the file's precision.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read or holds no tensors.
    """
    return tensors_of(read_content(path), path)


def read_content(path: Path) -> Any:
    """What a weights file holds: tensors in plain containers, and nothing else.

    Args:
        path: A ``.safetensors`` file, or a PyTorch file; the latter is read without executing anything in it.

    Returns:
        Usually a dictionary.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or holds other objects than tensors and plain values.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file")
    try:
        if path.suffix == ".safetensors":
            return load(path.read_bytes())
        return torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError:
        raise
    except (
        OSError,
        SafetensorError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        RuntimeError,
        EOFError,
        KeyError,
        UnicodeDecodeError,
        ValueError,
        IndexError,
        AttributeError,
        TypeError,
    ) as error:
        foreign = re.search(r"(?:GLOBAL|global) (?:`)?([\w.]+)", str(error))
        if foreign:
            raise ValueError(
                f"{path}: refused: to open it, {foreign[1]} would have to be run, which may do anything;"
                " get a file of tensors only"
            ) from error
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"{path}: damaged, or not a weights file ({reason}); copy or export it again"
        ) from error


def tensors_of(content: Any, path: Path) -> State:
    """The tensors of what a file holds, bare or under "state_dict" or "model".

    Args:
        content: From ``read_content``.
        path: Where it comes from, for the message.

    Raises:
        ValueError: If there are none, or something else is among them.
    """
    for wrapper in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    is_state = isinstance(content, dict) and all(isinstance(value, Tensor) for value in content.values())
    if not is_state or not content:
        raise ValueError(
            f"{path}: holds no named tensors; give a file of weights, bare or under 'state_dict'"
        )
    return cast(State, content)


def check_fit(network: nn.Module, state: State, path: Path) -> None:
    """Refuse tensors that are not exactly a network's; counters of batch normalisation may be missing.

    Args:
        network: What they are for.
        state: Tensors by name.
        path: Where they come from, for the message.

    Raises:
        ValueError: If a name is missing or unexpected, or a shape differs; the message counts and names them.
    """
    own = network.state_dict()
    shared = own.keys() & state.keys()
    faults = {
        "missing": [n for n in own if n not in state and not n.endswith("num_batches_tracked")],
        "unexpected": [n for n in state if n not in own],
        "of another shape": [n for n in own if n in shared and own[n].shape != state[n].shape],
    }
    found = [f"{len(names)} {fault} ({', '.join(names[:3])})" for fault, names in faults.items() if names]
    if found:
        raise ValueError(f"{path}: not the weights of this {type(network).__name__}: {'; '.join(found)}")


def _read_card(path: Path) -> Card:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; a model folder holds {MODEL_FILE} and {CARD_FILE}")
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: damaged ({error}); copy or export the model again") from error
    expected = {entry.name for entry in fields(Card)}
    if not isinstance(content, dict) or content.keys() != expected:
        raise ValueError(
            f"{path}: not a model card; it must have exactly the keys {', '.join(sorted(expected))}"
        )
    values: dict[str, Any] = content
    return Card(**values)
