"""What DIDA's instance bank costs a training step, in memory and in time."""

import torch

from segue.bench.measure import Benchmark, benchmark, benchmark_device, compared, peak_mib
from segue.bench.step import CLASSES, noise_batch, one_step, self_training
from segue.clock import times_ms
from segue.methods.self_training import SelfTraining
from segue.methods.terms.instance_bank import InstanceBank, InstanceBankSettings, Pace

PEER = "the same step without the bank"

EMBEDDING = 256
"""Channels of DAFormer's head."""


def rows(
    *, encoder: str = "mit_b0", size: int = 512, batch: int = 2, instances: int = 250, repeats: int = 3
) -> list[Benchmark]:
    """Measure DAFormer's step with and without the bank, once it is full: the peak of memory and the time of a step."""
    setting = (encoder, size, batch)
    ours, peer = (peak_mib(_steps, *setting, count) for count in (instances, 0))
    device = benchmark_device()
    data = noise_batch(batch, size, device)
    methods = {count: _method(encoder, size, count).to(device).train() for count in (instances, 0)}
    numbers = dict.fromkeys(methods, 0)

    def step(count: int) -> None:
        one_step(methods[count], data, numbers[count])
        numbers[count] += 1

    # The bank is full after two steps.
    times = times_ms(
        {"with": lambda: step(instances), "without": lambda: step(0)}, repeats=repeats, warm_up=2
    )
    return [
        benchmark("dida_peak_memory", ours, unit="MiB", peer=PEER, peer_value=peer),
        compared("dida_step_time", times["with"], times["without"], unit="ms", peer=PEER),
    ]


def _method(encoder: str, size: int, instances: int) -> SelfTraining:
    method = self_training("daformer", encoder, size=size)
    if instances:
        method.terms["instance_bank"] = InstanceBank(
            InstanceBankSettings(size=instances),
            Pace(warmup=0, interval=1, momentum=0.999, patience=0),
            classes=CLASSES,
            channels=EMBEDDING,
        )
    return method


def _steps(encoder: str, size: int, batch: int, instances: int, device: torch.device) -> None:
    method = _method(encoder, size, instances).to(device).train()
    data = noise_batch(batch, size, device)
    for number in range(3):
        one_step(method, data, number)
