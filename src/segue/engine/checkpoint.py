"""Exact resume: what a checkpoint holds, how it is written, found and read.

A checkpoint is a folder ``checkpoints/STEP`` with

- ``method.safetensors``: student, teacher, terms; parameters and buffers;
- ``optimizer.safetensors``: the optimiser's moments, by position of the parameter; further optimisers have files of
  their own, ``optimizer.NAME.safetensors``;
- ``state.json``: the step (updates so far), the conditions under which the run may go on (how many processes, their
  batch, the precision) and, in fp16, the gradient scaler.

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

from segue.files import part_beside

METHOD_FILE = "method.safetensors"
STATE_FILE = "state.json"


@dataclass
class State:
    """What a checkpoint holds beside tensors.

    Attributes:
        step: Updates so far.
        scaler: In fp16 the gradient scaler's state.
        conditions: By name, what has to be the same when the run goes on; empty in checkpoints of older versions.
        run: The run's name, see :mod:`segue.engine.run_identity`; empty in checkpoints of earlier versions.
    """

    step: int
    scaler: dict[str, Any] = field(default_factory=dict)
    conditions: dict[str, int | str] = field(default_factory=dict)
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
    beside = part_beside(final)
    try:
        beside.mkdir(parents=True)
        tensors = {name: value.detach().contiguous() for name, value in method.state_dict().items()}
        save_file(tensors, beside / METHOD_FILE)
        for name, optimizer in optimizers.items():
            save_file(moments_of(optimizer), beside / f"{name}.safetensors")
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


def load(
    path: Path,
    method: nn.Module,
    optimizers: Mapping[str, torch.optim.Optimizer],
    *,
    conditions: Mapping[str, int | str] | None = None,
) -> State:
    """Restore a method and its optimisers in place, and return the rest of the checkpoint.

    Args:
        conditions: Those of the run that goes on; None for any.

    Raises:
        ValueError: If a file is missing or damaged, belongs to another experiment, or was written under other
            conditions; nothing is changed then.
    """
    try:
        tensors = load_file(path / METHOD_FILE)
        moments = {name: load_file(path / f"{name}.safetensors") for name in optimizers}
        record = json.loads((path / STATE_FILE).read_text())
        state = State(
            int(record["step"]), record["scaler"], record.get("conditions", {}), run=record.get("run", "")
        )
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"checkpoint {path} is damaged ({error}); delete that folder to go on from the one before it"
        ) from error
    _require_same(path, state.conditions, conditions or {})
    expected = {name: tuple(value.shape) for name, value in method.state_dict().items()}
    if {name: tuple(value.shape) for name, value in tensors.items()} != expected:
        raise ValueError(f"checkpoint {path} belongs to another network or method; choose another run folder")
    method.load_state_dict(tensors)
    for name, optimizer in optimizers.items():
        load_moments(optimizer, moments[name])
    return state


def moments_of(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's tensors, named ``PARAMETER.MOMENT`` by the position of the parameter."""
    state = optimizer.state_dict()["state"]
    return {f"{i}.{name}": v.contiguous() for i, moments in state.items() for name, v in moments.items()}


def shapes_of_moments(optimizer: torch.optim.Optimizer) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """What :func:`moments_of` names, without its values, to be said to other processes."""
    return {name: (value.dtype, tuple(value.shape)) for name, value in moments_of(optimizer).items()}


def empty(shapes: Mapping[str, tuple[torch.dtype, tuple[int, ...]]]) -> dict[str, Tensor]:
    """Tensors of zeros of these types and shapes."""
    return {name: torch.zeros(shape, dtype=dtype) for name, (dtype, shape) in shapes.items()}


def load_moments(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser the tensors that :func:`moments_of` returned."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        position, name = key.split(".", 1)
        state.setdefault(int(position), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _require_same(path: Path, then: Mapping[str, int | str], now: Mapping[str, int | str]) -> None:
    changed = [name for name in now if name in then and then[name] != now[name]]
    if not changed:
        return
    said = " and ".join(f"{name} {then[name]} (now {now[name]})" for name in changed)
    remedy = {
        "processes": f"start {then.get('processes')} processes",
        "batch": f"set data.batch={then.get('batch')}",
        "precision": f"set run.precision={then.get('precision')}",
    }
    raise ValueError(
        f"checkpoint {path} was written with {said}: {', '.join(remedy[name] for name in changed)}, or choose another"
        " run folder"
    )


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
