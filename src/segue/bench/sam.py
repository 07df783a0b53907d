"""Where SSR's training step, which looks at SAM's features, spends its additional time."""

import statistics
from typing import cast

import torch

from segue.bench.measure import Benchmark, benchmark, benchmark_device
from segue.bench.step import noise_batch, one_step, self_training
from segue.bench.stopwatch import Stopwatch
from segue.clock import median_ms
from segue.methods.self_training import SelfTraining
from segue.methods.terms.frozen_regularizer import FrozenRegularizer, FrozenRegularizerSettings
from segue.models.build import normalisation
from segue.models.encoders.mit import MixTransformer
from segue.models.frozen_features import build_frozen
from segue.models.segmenter import Segmenter
from segue.types import Batch

PEER = "the step without SSR"


def rows(
    *, encoder: str = "mit_b0", frozen: str = "sam_vit_b", size: int = 512, batch: int = 2, repeats: int = 2
) -> list[Benchmark]:
    """Time DAFormer's step with and without SSR, and the forward passes of SSR's three parts, beside the step without.

    Args:
        frozen: The frozen encoder, with random weights, at its own picture size.
    """
    device = benchmark_device()
    data = noise_batch(batch, size, device)
    plain, ours = (self_training("daformer", encoder, size=size).to(device).train() for _ in range(2))
    term = _term(ours, frozen).to(device)
    ours.terms["frozen_regularizer"] = term
    times = median_ms(
        {"with": lambda: one_step(ours, data, 0), "without": lambda: one_step(plain, data, 0)},
        repeats=repeats,
    )
    parts = [_parts(ours, term, data, device) for _ in range(repeats)]
    medians = {name: 1000 * statistics.median(one[name] for one in parts) for name in parts[0]}
    medians["second_decoding"] = medians.pop("all") - medians["frozen"] - medians["cross_attention"]
    without = times["without"]
    return [
        benchmark("ssr_step", times["with"], unit="ms", peer=PEER, peer_value=without),
        *(
            benchmark(f"ssr_{n}_forward", v, unit="ms", peer=PEER, peer_value=without)
            for n, v in medians.items()
        ),
    ]


def _parts(
    method: SelfTraining, term: FrozenRegularizer, data: Batch, device: torch.device
) -> dict[str, float]:
    watch = Stopwatch(device)
    plain = term.forward, term.frozen.forward, term.fused
    term.forward = watch.around("all", term.forward)
    term.frozen.forward = watch.around("frozen", term.frozen.forward)
    term.fused = watch.around("cross_attention", term.fused)
    one_step(method, data, 0)
    term.forward, term.frozen.forward, term.fused = plain
    return watch.seconds


def _term(method: SelfTraining, name: str) -> FrozenRegularizer:
    frozen = build_frozen(name, None, colours=normalisation("mit_b0"))
    encoder = cast(MixTransformer, cast(Segmenter, method.student).encoder)
    return FrozenRegularizer(
        FrozenRegularizerSettings(),
        frozen,
        frozen_channels=frozen.channels,
        channels=encoder.out_channels,
        heads=encoder.heads,
    )
