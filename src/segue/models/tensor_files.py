"""Files of named tensors: read without executing anything, and checked against a network."""

import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

State = dict[str, Tensor]
"""Tensors by name."""


def read_state(path: Path) -> State:
    """The tensors of a ``.safetensors`` or PyTorch file by name, on the CPU, in the file's precision.

    Nothing in the file is executed.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read or holds no tensors.
    """
    return tensors_of(read_content(path), path)


def read_content(path: Path) -> Any:
    """The content of a ``.safetensors`` or PyTorch file, tensors in plain containers; nothing in it is executed.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or holds other objects than tensors and plain values.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file")
    try:
        if path.suffix == ".safetensors":
            return load(path.read_bytes())
        with warnings.catch_warnings(action="ignore"):  # about pickle's version, which is no fault
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
        if isinstance(error, pickle.UnpicklingError):  # torch's own words advise how to run what is inside
            reason = "it holds something other than tensors in plain containers, of which nothing was run"
        raise ValueError(
            f"{path}: damaged, or not a weights file ({reason}); copy or export it again"
        ) from error


def tensors_of(content: Any, path: Path) -> State:
    """The tensors in a file's content, bare or under "state_dict" or "model"; ``path`` is for the message.

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

    Raises:
        ValueError: If a name is missing or unexpected, a shape or the kind of numbers differs, a number is not finite,
            or all weights are zero; the message counts and names them.
    """
    own = network.state_dict()
    shared = own.keys() & state.keys()
    numbers = [name for name in shared if own[name].is_floating_point()]
    faults = {
        "missing": [n for n in own if n not in state and not n.endswith("num_batches_tracked")],
        "unexpected": [n for n in state if n not in own],
        "of another shape": [n for n in own if n in shared and own[n].shape != state[n].shape],
        "of whole numbers, not fractions": [n for n in numbers if not state[n].is_floating_point()],
    }
    said = [f"{len(names)} {fault} ({', '.join(names[:3])})" for fault, names in faults.items() if names]
    if said:
        raise ValueError(f"{path}: not the weights of this {type(network).__name__}: {'; '.join(said)}")
    broken = [name for name in sorted(numbers) if not state[name].isfinite().all()]
    if broken:
        raise ValueError(
            f"{path}: {len(broken)} of its tensors hold numbers that are not finite ({', '.join(broken[:3])}):"
            " its training went wrong; take an earlier file"
        )
    matrices = [state[name] for name in numbers if state[name].ndim > 1]
    if matrices and not any(matrix.any() for matrix in matrices):
        raise ValueError(f"{path}: all of its weights are zero; copy or export it again")
