"""The cost of hybrid attention: a joint pass of source and target against plain passes of the same pictures."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from segue.bench.measure import Benchmark, benchmark, benchmark_device, compared_all, peak_mib
from segue.clock import times_ms
from segue.models.build import build_encoder
from segue.models.encoders.encoder import Encoder
from segue.ops.attention import MeetingPlan
from segue.ops.groups import semantic
from segue.types import HybridRules

PEER = "two plain passes, float32"

CLASSES = 14
"""The number of classes of the made-up labels: as many as the paper's example picture shows."""


def rows(
    *,
    encoders: tuple[str, ...] = ("mit_b0", "mit_b2"),
    size: int = 512,
    pairs: int = 1,
    repeats: int = 7,
    device: str | None = None,
) -> list[Benchmark]:
    """Time the forward and backward pass of an encoder over pairs of pictures.

    For each encoder: semantic grouping as it is evaluated on this device, semantic grouping by masking all
    scores, and no grouping, which has twice the scores of plain attention. Then the memory of the joint
    pass, as it is and with its third stage computed again for the gradient.
    """
    place = benchmark_device(device)
    image, groups = _pictures(size, pairs, place)
    lines: list[Benchmark] = []
    for name in encoders:
        encoder = build_encoder(name).to(place).train()
        runs: dict[str, Callable[[], object]] = {
            "plain": lambda e=encoder: [_backward(e, e(domain)) for domain in image],
            "semantic_bidirectional": lambda e=encoder: _together(e, image, groups),
            "masked_bidirectional": lambda e=encoder: _together(e, image, groups, is_sorted=False),
            "ungrouped_bidirectional": lambda e=encoder: _together(e, image, None),
        }
        times = times_ms(runs, repeats=repeats)
        named = {kind: f"{name}_{kind}" for kind in runs if kind != "plain"}
        lines += compared_all(named, times, "plain", peer=PEER)
    return lines + [line for name in encoders for line in _memory(name, size, pairs)]


def _memory(encoder: str, size: int, pairs: int) -> list[Benchmark]:
    plain, joint, again = (
        peak_mib(_one_pass, encoder, size, pairs, *how) for how in ((False, ()), (True, ()), (True, (3,)))
    )
    lines = {"joint_peak_memory": joint, "joint_checkpointed_peak_memory": again}
    return [
        benchmark(f"{encoder}_{name}", value, unit="MiB", peer=PEER, peer_value=plain)
        for name, value in lines.items()
    ]


def _one_pass(
    encoder: str, size: int, pairs: int, jointly: bool, checkpointed: tuple[int, ...], device: torch.device
) -> None:
    network = build_encoder(encoder).to(device).train()
    network.checkpointed = checkpointed
    image, groups = _pictures(size, pairs, device)
    if jointly:
        _together(network, image, groups)
        return
    for domain in image:
        _backward(network, network(domain))


def _pictures(size: int, pairs: int, device: torch.device) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    image = torch.rand(2, pairs, 3, size, size, device=device)
    return image, semantic(_label(pairs, size, device))[None]


def _together(
    encoder: Encoder, image: Tensor, groups: Tensor | None, *, is_sorted: bool | None = None
) -> None:
    plan = MeetingPlan(groups, HybridRules(), is_sorted)
    _backward(encoder, encoder.together(image.flatten(0, 1), plan))


def _backward(encoder: Encoder, maps: list[Tensor]) -> None:
    loss = torch.stack([level.float().mean() for level in maps]).sum()
    loss.backward()
    encoder.zero_grad()


def _label(pairs: int, size: int, device: torch.device) -> Tensor:
    """Blobs of classes, as large as those of a street."""
    noise = torch.rand(pairs, CLASSES, 6, 6, device=device)
    return F.interpolate(noise, (size, size), mode="bicubic", align_corners=False).argmax(1)
