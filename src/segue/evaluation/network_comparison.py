"""Two networks side by side: how alike their layers are, how far parameters moved, and the time for a picture."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from segue.clock import median_ms
from segue.evaluation.predictors import evaluating
from segue.models.segmenter import Segmenter
from segue.ops.likeness import linear_cka

CELL = 32
"""Height and width of a compared cell in pixels: the stride of most encoders' last map."""

Grid: TypeAlias = tuple[int, int]
"""Rows and columns of cells."""


def layer_outputs(
    network: Segmenter,
    images: Iterable[tuple[Float[Tensor, "1 3 h w"], Grid]],
    *,
    cells: int = 16,
    seed: int = 0,
    watch: Callable[[], None] | None = None,
) -> dict[str, Float[Tensor, "m c"]]:
    """The output of every block of an encoder, or of its four stages if it has no blocks, on some pictures.

    All maps are averaged onto the picture's cells, of which a few are drawn, so that any two layers can be compared,
    even those of networks that see pictures at different sizes.

    Args:
        images: Normalised pictures, each with its cells; see :func:`cells_of`.
        cells: How many are drawn from each picture.
        seed: Equal seeds draw equal cells.
        watch: Called after every picture.

    Returns:
        By layer, the drawn cells of all pictures (M) by channels (C), on the processor.
    """
    names = [name for stage in network.encoder.layers for name in stage]
    drawing = torch.Generator().manual_seed(seed)
    kept: dict[str, list[Tensor]] = {}
    outputs: dict[str, Tensor] = {}
    handles = [
        network.encoder.get_submodule(name).register_forward_hook(_keeper(name, outputs)) for name in names
    ]
    try:
        for image, grid in images:
            with evaluating(network):
                features: list[Tensor] = network.feature_network()(image)
            seen = (image.shape[-2] // network.shrinks, image.shape[-1] // network.shrinks)
            blocks = {name: network.encoder.block_map(tokens, seen) for name, tokens in outputs.items()}
            maps = blocks or {f"stage {stage}": level for stage, level in enumerate(features, start=1)}
            drawn = torch.randperm(grid[0] * grid[1], generator=drawing)[:cells]
            for name, value in maps.items():
                pooled = F.adaptive_avg_pool2d(value.float(), grid).flatten(2)[0].T
                kept.setdefault(name, []).append(pooled.cpu()[drawn])
            if watch is not None:
                watch()
    finally:
        for handle in handles:
            handle.remove()
    return {name: torch.cat(kept[name]) for name in (names or kept)}


def cells_of(size: tuple[int, int]) -> Grid:
    """The cells of a picture with this height and width in pixels."""
    return max(1, size[0] // CELL), max(1, size[1] // CELL)


def alignment(
    one: Mapping[str, Float[Tensor, "m c"]], other: Mapping[str, Float[Tensor, "m d"]]
) -> Float[Tensor, "l n"]:
    """The linear CKA, in [0, 1], of every layer of one network with every layer of the other (CLDA, figure 3)."""
    return torch.stack(
        [torch.stack([linear_cka(left, right) for right in other.values()]) for left in one.values()]
    )


def variation(one: Segmenter, other: Segmenter) -> dict[str, float]:
    """The mean absolute difference of the parameters that two networks share by name and shape, by module.

    Source: CLDA, figure 4: the parameter variation rate between a network that was distilled and one that was not.

    Returns:
        By part of a block ("block3.0.attn"), and outside of blocks by part of the network; empty if nothing is shared.
    """
    blocks = [name for stage in one.encoder.layers for name in stage]
    theirs = dict(other.named_parameters())
    sums: dict[str, tuple[Tensor, int]] = {}
    for name, value in one.named_parameters():
        match = theirs.get(name)
        if match is None or match.shape != value.shape:
            continue
        part = _part(name, blocks)
        total, numbers = sums.get(part, (torch.zeros((), device=value.device), 0))
        moved = (value.detach() - match.detach().to(value.device)).abs().sum()
        sums[part] = (total + moved, numbers + value.numel())
    return {part: float(total) / numbers for part, (total, numbers) in sums.items()}


def milliseconds(networks: Mapping[str, nn.Module], image: Tensor, *, repeats: int = 7) -> dict[str, float]:
    """The median time that each network, by name, takes for a normalised picture on the same device.

    The networks take turns; ``repeats`` passes of each are timed, after one that is not.
    """

    def predict(network: nn.Module) -> Tensor:
        with evaluating(network):
            return network(image)

    runs = {name: partial(predict, network) for name, network in networks.items()}
    return median_ms(runs, repeats=repeats, device=image.device)


def _keeper(name: str, outputs: dict[str, Tensor]) -> Callable[[nn.Module, object, Tensor], None]:
    def keep(module: nn.Module, given: object, result: Tensor) -> None:
        outputs[name] = result

    return keep


def _part(name: str, blocks: list[str]) -> str:
    """The part of a block, or else of the network, that a parameter belongs to."""
    inside = name.removeprefix("encoder.")
    for block in blocks:
        if inside.startswith(f"{block}."):
            return f"{block}.{inside.removeprefix(f'{block}.').split('.')[0]}"
    return ".".join(name.split(".")[:2])
