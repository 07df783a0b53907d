"""Exact resume: what a checkpoint holds, how it is written, found and read.

A checkpoint is a folder ``checkpoints/STEP`` with

- ``method.safetensors``: student, teacher, terms; parameters and buffers;
- ``optimizer.safetensors``: the optimiser's moments, by position of the parameter; further optimisers have files of
  their own, ``optimizer.NAME.safetensors``;
- ``state.json``: the step (updates so far) and, in fp16, the gradient scaler.

Random numbers and the loader's position follow from (seed, step, rank) and need not be stored. The folder is written
under another name, forced to disk and renamed, so that a folder whose name is a number is complete.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

METHOD_FILE = "method.safetensors"
STATE_FILE = "state.json"


@dataclass
class State:
    """What a checkpoint holds beside tensors: the updates so far, in fp16 the gradient scaler's state, and whose it is.

    Attributes:
        run: The run's name, see :mod:`segue.engine.run_identity`; empty in checkpoints of earlier versions.
    """

    step: int
    scaler: dict[str, Any] = field(default_factory=dict)
    run: str = ""


def save(
    folder: Path,
    method: nn.Module,
    optimizers: Mapping[str, torch.optim.Optimizer],
    state: State,
    *,
    keep: int = 2,
) -> Path:
    """Write a checkpoint under ``folder`` and delete all but the newest ``keep``.

    If the disk is full, for example, ``OSError`` is raised and earlier checkpoints stay.
    """
    final = folder / f"{state.step:07d}"
    beside = folder / f".{final.name}.part"
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        tensors = {name: value.detach().contiguous() for name, value in method.state_dict().items()}
        save_file(tensors, beside / METHOD_FILE)
        for name, optimizer in optimizers.items():
            save_file(_optimizer_tensors(optimizer), beside / f"{name}.safetensors")
        (beside / STATE_FILE).write_text(json.dumps(asdict(state)))
        for path in (*beside.iterdir(), beside):
            _to_disk(path)
        if final.exists():
            shutil.rmtree(final)
        beside.rename(final)
        _to_disk(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise OSError(f"cannot write checkpoint {final}: {error}") from error
    for old in list_checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def list_checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints under a folder, oldest first."""
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if p.is_dir() and p.name.isdigit()), key=lambda p: int(p.name))


def load(path: Path, method: nn.Module, optimizers: Mapping[str, torch.optim.Optimizer]) -> State:
    """Restore a method and its optimisers in place, and return the rest of the checkpoint.

    Raises:
        ValueError: If a file is missing or damaged, or belongs to another experiment; nothing is changed then.
    """
    try:
        tensors = load_file(path / METHOD_FILE)
        moments = {name: load_file(path / f"{name}.safetensors") for name in optimizers}
        record = json.loads((path / STATE_FILE).read_text())
        state = State(int(record["step"]), record["scaler"], run=record.get("run", ""))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"checkpoint {path} is damaged ({error}); delete that folder to go on from the one before it"
        ) from error
    expected = {name: tuple(value.shape) for name, value in method.state_dict().items()}
    if {name: tuple(value.shape) for name, value in tensors.items()} != expected:
        raise ValueError(f"checkpoint {path} belongs to another network or method; choose another run folder")
    method.load_state_dict(tensors)
    for name, optimizer in optimizers.items():
        _load_optimizer(optimizer, moments[name])
    return state


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {f"{i}.{name}": v.contiguous() for i, moments in state.items() for name, v in moments.items()}


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        position, name = key.split(".", 1)
        state.setdefault(int(position), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
