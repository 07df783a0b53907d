"""The blocks of two encoders: which of them fit each other, which follow, and what their attention computes."""

import random
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from segue.evaluation.predictors import in_evaluation_mode
from segue.models.encoders.encoder import Encoder
from segue.models.segmenter import Segmenter

Captured = Literal["projected", "before_projection"]


def draw_layers(
    non_salient: Sequence[str], *, share: float, seed: int, stages: Sequence[Sequence[str]]
) -> list[str]:
    """A random share of the non-salient blocks in some stages, at least one if there is any; the order is kept.

    Source: CLDA, section 5: 30 % of them are updated.
    """
    allowed = [name for name in non_salient if any(name in stage for stage in stages)]
    wanted = min(len(allowed), max(1, round(share * len(allowed))))
    drawn = set(random.Random(seed).sample(allowed, wanted))
    return [name for name in allowed if name in drawn]


def exchangeable(teacher: Segmenter, student: Segmenter, layers: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """For each of some of the teacher's blocks, the names of the student's blocks of the same stage.

    Raises:
        ValueError: If an encoder has no blocks to exchange, or shapes differ; the blocks are listed.
    """
    candidates: dict[str, tuple[str, ...]] = {}
    unfit: list[str] = []
    for name in layers:
        stage = next((s for s, names in enumerate(teacher.encoder.layers) if name in names), None)
        if stage is None:
            raise ValueError(
                f"the teacher's {type(teacher.encoder).__name__} has no block {name!r}: measure its layers with"
                " `segue saliency`; mit, vit and dino encoders have blocks to exchange"
            )
        others = student.encoder.layers[stage : stage + 1]
        candidates[name] = others[0] if others else ()
        if not candidates[name] or _shapes(teacher, name) != _shapes(student, candidates[name][0]):
            unfit.append(name)
    if unfit:
        raise ValueError(
            f"{len(unfit)} blocks of the teacher have other shapes than the student's of their stage:"
            f" {', '.join(unfit)}; choose encoders of the same widths, as mit_b5 and mit_b3 or vit_tiny and"
            " vit_tiny_6, or plain distillation (recipe kd)"
        )
    return candidates


@torch.no_grad()
def attention_maps(
    network: Segmenter, image: Tensor, layers: Sequence[str], captured: Captured
) -> dict[str, Tensor]:
    """By block, what its attention computes from normalised images (B,3,H,W), as (cells of all pictures, channels).

    It is taken after the output projection or before it; the network is in evaluation mode meanwhile.
    """
    maps: dict[str, Tensor] = {}
    handles = [_watch(network.encoder, name, maps, captured) for name in layers]
    try:
        with in_evaluation_mode(network):
            network.feature_network()(image)
    finally:
        for handle in handles:
            handle.remove()
    return maps


def _watch(
    encoder: Encoder, name: str, maps: dict[str, Tensor], captured: Captured
) -> torch.utils.hooks.RemovableHandle:
    attention = encoder.get_submodule(f"{name}.{encoder.attention}")

    def after(module: nn.Module, given: tuple[Tensor, ...], result: Tensor | tuple[Tensor, ...]) -> None:
        tokens = result if isinstance(result, Tensor) else result[0]
        maps[name] = tokens[:, encoder.prefix :].flatten(0, -2)

    def before(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        maps[name] = given[0][:, encoder.prefix :].flatten(0, -2)

    if captured == "projected":
        return attention.register_forward_hook(after)
    return attention.get_submodule(encoder.projection).register_forward_pre_hook(before)


def same_depth(name: str, stages: Sequence[Sequence[str]], depth: int) -> int:
    """The place among ``depth`` blocks that is as deep, relatively, as a block lies in its own stage."""
    stage = next(names for names in stages if name in names)
    return round(stage.index(name) / max(len(stage) - 1, 1) * (depth - 1))


def _shapes(network: Segmenter, name: str) -> dict[str, tuple[int, ...]]:
    block = network.encoder.get_submodule(name)
    return {key: tuple(value.shape) for key, value in block.state_dict().items()}
