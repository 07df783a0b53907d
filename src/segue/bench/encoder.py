"""The mix transformer's training pass against that of the transformers library."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from segue.bench.measure import Benchmark, benchmark_device, compared_all
from segue.clock import times_ms
from segue.models.build import build_encoder
from segue.models.encoders import mit

PEER = "transformers SegformerModel, sdpa, float32"

PLAN = (("mit_b0", ("fp32", "bf16"), 1), ("mit_b5", ("fp32",), 2))
"""Encoder, our precisions, and the divisor of the number of passes."""


def rows(*, size: int = 512, batch: int = 2, repeats: int = 7, device: str | None = None) -> list[Benchmark]:
    """Time forward and backward passes of MiT-B0 and MiT-B5 in training mode, with gradients of every parameter.

    Ours in bf16, too, is compared with the peer in float32.

    Args:
        repeats: Timed passes of B0; B5 gets half as many, at least three.

    Raises:
        ValueError: If the transformers library is not installed.
    """
    place = benchmark_device(device)
    image = torch.rand(batch, 3, size, size, device=place)
    lines: list[Benchmark] = []
    for name, precisions, share in PLAN:
        ours, peer = build_encoder(name).to(place).train(), _peer(name).to(place).train()
        runs: dict[str, Callable[[], object]] = {"peer": lambda peer=peer: _train(peer, image)}
        for precision in precisions:
            runs[precision] = lambda ours=ours, bf16=precision == "bf16": _train(ours, image, bf16=bf16)
        times = times_ms(runs, repeats=max(3, repeats // share))
        lines += compared_all({p: f"{name}_train_{p}" for p in precisions}, times, "peer", peer=PEER)
    return lines


def _train(network: nn.Module, image: Tensor, *, bf16: bool = False) -> None:
    """One pass forward and backward; the loss weights the four maps alike."""
    with torch.autocast(image.device.type, dtype=torch.bfloat16, enabled=bf16):
        maps = network(image)
    loss = torch.stack([level.float().mean() for level in maps]).sum()
    network.zero_grad()
    loss.backward()


class _Peer(nn.Module):
    """The library's encoder with our interface."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> list[Tensor]:
        return list(self.model(image, output_hidden_states=True).hidden_states)


def _peer(name: str) -> nn.Module:
    try:
        from transformers import SegformerConfig, SegformerModel
    except ImportError as error:
        raise ValueError("the encoder benchmark needs transformers: pip install 'segue-uda[sam]'") from error
    dims, depths = mit.SIZES[name]
    options: dict[str, Any] = {"attn_implementation": "sdpa"}
    return _Peer(SegformerModel(SegformerConfig(hidden_sizes=list(dims), depths=list(depths), **options)))
