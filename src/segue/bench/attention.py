"""Hybrid attention's cost: a pass of source and target together against plain passes of the same pictures."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from segue.bench.measure import Row, median_ms, row
from segue.memory import keep_memory
from segue.models.build import build_encoder
from segue.models.encoders.encoder import Encoder
from segue.ops import attention
from segue.ops.groups import semantic
from segue.types import HybridRules

PEER = "two plain passes, float32"

CLASSES = 14
"""Classes of the made-up labels: as many as the paper's example picture shows."""


def rows(
    *,
    encoders: tuple[str, ...] = ("mit_b0", "mit_b2"),
    size: int = 512,
    pairs: int = 1,
    repeats: int = 7,
    device: str | None = None,
) -> list[Row]:
    """Time the forward and backward pass of an encoder over pairs of pictures.

    Args:
        encoders: Names in ``models.build.ENCODERS`` with hybrid attention.
        size: Side of the pictures in pixels.
        pairs: Pictures of each domain.
        repeats: Timed passes of each kind.
        device: Where to run; the accelerator if there is one, unless said.

    Returns:
        For each encoder semantic grouping as it is evaluated on this device, semantic grouping by masking all
        scores, and no grouping, which has twice the scores of plain attention.
    """
    keep_memory()
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    torch.manual_seed(0)
    image = torch.rand(2, pairs, 3, size, size, device=place)
    groups = semantic(_label(pairs, size, place))[None]
    found: list[Row] = []
    for name in encoders:
        encoder = build_encoder(name).to(place).train()
        runs: dict[str, Callable[[], object]] = {
            "plain": lambda e=encoder: [_backward(e, e(domain)) for domain in image],
            "semantic_bidirectional": lambda e=encoder: _together(e, image, groups),
            "masked_bidirectional": lambda e=encoder: _masked(e, image, groups),
            "ungrouped_bidirectional": lambda e=encoder: _together(e, image, None),
        }
        times = median_ms(runs, repeats=repeats)
        plain = times.pop("plain")
        found += [
            row(f"{name}_{kind}", t, unit="ms", peer=PEER, peer_value=plain) for kind, t in times.items()
        ]
    return found


def _together(encoder: Encoder, image: Tensor, groups: Tensor | None) -> None:
    _backward(encoder, encoder.together(image.flatten(0, 1), groups, HybridRules()))


def _masked(encoder: Encoder, image: Tensor, groups: Tensor) -> None:
    """The same with all scores computed and those of other groups masked."""
    fast = attention.SortedMeeting
    attention.SortedMeeting = attention.DenseMeeting
    try:
        _together(encoder, image, groups)
    finally:
        attention.SortedMeeting = fast


def _backward(encoder: Encoder, maps: list[Tensor]) -> None:
    loss = torch.stack([level.float().mean() for level in maps]).sum()
    loss.backward()
    encoder.zero_grad()


def _label(pairs: int, size: int, device: torch.device) -> Tensor:
    """Blobs of classes, as large as those of a street."""
    noise = torch.rand(pairs, CLASSES, 6, 6, device=device)
    return F.interpolate(noise, (size, size), mode="bicubic", align_corners=False).argmax(1)
