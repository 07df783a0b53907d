"""Where the time of a training step goes: each phase as a share of the whole."""

import statistics
from typing import Any

import torch
from torch import Tensor, nn

from segue.bench.measure import Benchmark, benchmark, benchmark_device
from segue.bench.stopwatch import Stopwatch
from segue.classes import class_list
from segue.engine import optim
from segue.methods.context import PAPER_STEPS, Context
from segue.methods.masking import MaskSettings
from segue.methods.mixing import AugmentSettings
from segue.methods.self_training import SelfTraining, SelfTrainingSettings
from segue.methods.terms.feature_distance import FeatureDistance, FeatureDistanceSettings
from segue.models.build import build_segmenter
from segue.models.segmenter import Segmenter
from segue.models.settings import NetworkSettings
from segue.types import Batch, Source, Target

CLASSES = 19
THINGS = range(11, CLASSES)
PEER = "the whole step"

RECIPES = ("daformer", "hrda", "mic")
"""The recipes whose step can be timed."""


def rows(
    recipe: str = "daformer",
    *,
    encoder: str = "mit_b0",
    size: int = 512,
    batch: int = 2,
    repeats: int = 3,
    device: str | None = None,
) -> list[Benchmark]:
    """Time whole steps and their phases, by default at DAFormer's crop and batch, in float32.

    The ratio of a line is the phase's share of the step. The reference's pass (``distance_forward``) is a part of
    ``source_forward``.

    Raises:
        ValueError: If there is no such recipe.
    """
    if recipe not in RECIPES:
        raise ValueError(f"--recipe {recipe!r}: one of {', '.join(RECIPES)} can be timed")
    place = benchmark_device(device)
    method = self_training(recipe, encoder, size=size).to(place).train()
    optimizer = optim.adamw(
        optim.parameter_groups(method, lr=6e-5, head_factor=10.0, weight_decay=0.01), betas=(0.9, 0.999)
    )
    data = noise_batch(batch, size, place)
    timed = [_timed_step(method, optimizer, data, step) for step in range(1 + repeats)][1:]
    medians = {name: 1000 * statistics.median(t[name] for t in timed) for name in timed[0]}
    whole = medians["step"]
    name = f"{recipe}_{encoder}"
    return [benchmark(f"{name}_{n}", v, unit="ms", peer=PEER, peer_value=whole) for n, v in medians.items()]


def _timed_step(
    method: SelfTraining, optimizer: torch.optim.Optimizer, data: Batch, step: int
) -> dict[str, float]:
    watch = Stopwatch(data.source.image.device)
    pieces: dict[str, Any] = {"teacher": method.teacher, "distance": method.terms["distance"].reference}
    plain = {name: module.forward for name, module in pieces.items()}
    mix, augment = method.mix, method.augment
    assert mix is not None and augment is not None
    for name, module in pieces.items():
        module.forward = watch.around(f"{name}_forward", plain[name])
    method.mix, method.augment = watch.around("mix", mix), watch.around("augment", augment)
    with watch.measure("step"):
        for view in method.views(data, step):
            with watch.measure(f"{view.name}_forward"):
                losses: dict[str, Tensor] = method(view)
            with watch.measure(f"{view.name}_backward"):
                torch.stack(list(losses.values())).sum().backward()
        with watch.measure("optimizer"):
            optimizer.step()
            optimizer.zero_grad()
        with watch.measure("follow"):
            method.after_step(data, step)
    for name, module in pieces.items():
        module.forward = plain[name]
    method.mix, method.augment = mix, augment
    return watch.seconds


def one_step(method: SelfTraining, data: Batch, number: int) -> None:
    """A training step without the optimiser, so that two methods keep the same parameters."""
    method.begin(number)
    for view in method.views(data, number):
        losses: list[Tensor] = list(method(view).values())
        torch.stack(losses).sum().backward()
    method.zero_grad()
    method.after_step(data, number)


def self_training(recipe: str, encoder: str, *, size: int) -> SelfTraining:
    """A recipe's method with random weights, for crops of ``size`` pixels; details are half as high and wide."""
    detail = None if recipe == "daformer" else {"detail": (size // 2, size // 2)}
    student = build_segmenter(encoder, "daformer", num_classes=CLASSES, multi_resolution=detail)
    distance = FeatureDistance(
        FeatureDistanceSettings(), student.feature_network(), classes=THINGS, num_classes=CLASSES
    )
    # Both colour changes happen in every step, so that every step costs the same.
    augment = AugmentSettings(jitter_probability=1.0, blur_probability=1.0)
    settings = SelfTrainingSettings(augment=augment, mask=MaskSettings() if recipe == "mic" else None)
    return settings.build(bare_run(student, encoder), {"distance": distance})


def bare_run(student: Segmenter, encoder: str) -> Context:
    """A run of which nothing is used but its student."""
    classes = class_list([str(number) for number in range(CLASSES)])
    return Context("bench", PAPER_STEPS, 0, classes, (512, 512), NetworkSettings(encoder=encoder), student)


def noise_batch(count: int, size: int, device: torch.device) -> Batch:
    """Pictures of noise with labels in blocks of 64 pixels, so that some feature cells show things."""
    torch.manual_seed(0)
    image = torch.randn(2, count, 3, size, size, device=device)
    blocks = torch.randint(0, CLASSES, (count, 1, size // 64, size // 64), device=device).float()
    label = nn.functional.interpolate(blocks, (size, size), mode="nearest").long()[:, 0]
    names = [""] * count
    return Batch(Source(image[0], label, names), Target(image[1], None, None, names))
