"""How much memory a training will take, estimated on tensors without content before anything is built."""

from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from segue.engine.settings import Experiment
from segue.memory import free_bytes
from segue.models.build import build_segmenter

COPIES = {"adamw": 4, "sgd": 3}
"""A learnt number, its gradient, and the optimiser's moments."""

TRANSIENT = 1.25
"""What the backward pass holds at once, as a factor on what the forward pass keeps for it."""

MEANT = 3.0
"""The estimate is rough: up to this multiple of the free memory a training is tried."""

PROGRAM = 0.6 * 2**30
"""Python, torch and its kernels."""


def footprint(experiment: Experiment) -> float | None:
    """The bytes that a training takes on its device at its peak, roughly; None if the network cannot be traced.

    Counted are the student's pass over a batch, with what it keeps for the backward pass, the student with its
    gradients and moments, and two more copies of it: a teacher, and a reference or whatever else a method holds.
    """
    data = experiment.data
    arguments = experiment.network.arguments(classes=len(data.classes), crop=data.crop)
    stages = tuple(experiment.network.checkpoint_stages)
    asked = repr((sorted(arguments.items()), stages, data.batch, data.crop))
    if asked not in _TRACED:
        _TRACED[asked] = _traced(arguments, stages, (data.batch, 3, *data.crop))
    found = _TRACED[asked]
    if found is None:
        return None
    weights, kept = found
    half = 0.6 if experiment.run.precision in ("bf16", "fp16") else 1.0
    return PROGRAM + (COPIES[experiment.optim.name] + 2) * weights + half * TRANSIENT * kept


_TRACED: dict[str, tuple[int, int] | None] = {}
"""What was found before: each stage of a run asks, and tracing takes as long as several steps of a small network."""


def _traced(
    arguments: dict[str, Any], stages: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[int, int] | None:
    """The bytes of a network's weights, and those that its pass over a batch keeps; None if it cannot be traced."""
    try:
        with torch.device("meta"):
            network = build_segmenter(**arguments)
            network.encoder.checkpointed = stages
            picture = torch.empty(shape)
        kept = _kept_bytes(network, lambda: network(picture))
    except (NotImplementedError, RuntimeError, TypeError, AttributeError):
        return None
    return sum(value.nbytes for value in network.state_dict().values()), kept


def _kept_bytes(network: nn.Module, run: Callable[[], object]) -> int:
    """The bytes that a pass keeps for the backward pass, weights excluded; each storage counts once."""
    own = {_place(value) for value in network.state_dict(keep_vars=True).values()}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        if _place(tensor) not in own:
            kept[_place(tensor)] = tensor  # held, so that no later storage takes its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = run()
    del output
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def _place(tensor: Tensor) -> int:
    """Which storage it is; the usual pointer is zero where there is no content."""
    return tensor.untyped_storage()._cdata  # pyright: ignore[reportPrivateUsage]


def check_footprint(experiment: Experiment, device: torch.device, *, console: Console) -> None:
    """Say how much memory a training will take before it is taken, and refuse what cannot be meant.

    Raises:
        ValueError: If it is several times what is there.
    """
    needed = footprint(experiment)
    free = free_bytes(device)
    if needed is None or free is None:
        return
    said = f"about {needed / 2**30:.1f} GiB of memory are needed, {free / 2**30:.1f} GiB are free"
    remedy = (
        "smaller data.batch, data.crop or network.encoder, or network.checkpoint_stages=[1,2,3,4] need less"
    )
    if needed > MEANT * free:
        raise ValueError(f"{said}: {remedy}")
    if needed > free:
        console.print(f"{said}: it may fail; {remedy}", style="yellow", soft_wrap=True, highlight=False)
    else:
        console.print(said, soft_wrap=True, highlight=False)
