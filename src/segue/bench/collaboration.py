"""What it costs in a distillation step that the teacher's layers follow the student's."""

import copy

import torch

from segue.bench.measure import Benchmark, benchmark_device, compared_all
from segue.bench.step import CLASSES, bare_run, noise_batch, one_step
from segue.clock import times_ms
from segue.methods.self_training import SelfTraining, SelfTrainingSettings
from segue.methods.teacher import Frozen
from segue.methods.teachers.blocks import draw_layers
from segue.methods.teachers.collaborative import CollaborativeSettings, CollaborativeTeacher
from segue.models.build import build_segmenter

PEER = "the same step with the teacher frozen (kd)"


def rows(
    *, teacher: str = "mit_b2", student: str = "mit_b1", size: int = 256, batch: int = 2, repeats: int = 5
) -> list[Benchmark]:
    """Time a CLDA step after matching is over, and one in which attention is compared, beside plain distillation."""
    device = benchmark_device()
    data = noise_batch(batch, size, device)
    methods = {
        name: _method(name, teacher, student).to(device).train() for name in ("kd", "moving", "matching")
    }
    numbers = {"kd": 1, "moving": 1, "matching": 0}  # attention is compared only in step 0
    times = times_ms(
        {name: lambda name=name: one_step(methods[name], data, numbers[name]) for name in methods},
        repeats=repeats,
    )
    named = {name: f"clda_{name}_step" for name in ("moving", "matching")}
    return compared_all(named, times, "kd", peer=PEER)


def _method(name: str, teacher: str, student: str) -> SelfTraining:
    torch.manual_seed(0)
    large, small = (
        build_segmenter(encoder, "daformer", num_classes=CLASSES) for encoder in (teacher, student)
    )
    method = SelfTrainingSettings(augment=None).build(bare_run(small, student), {})
    if name == "kd":
        method.teacher = Frozen(large)
        return method
    stages = large.encoder.layers
    # Half of all layers are non-salient, 30 % of those follow: as with the default settings.
    half = [layer for stage in stages for layer in stage][::2]
    layers = draw_layers(half, share=0.3, seed=0, stages=stages)
    settings = CollaborativeSettings(match_from=0.0, match_until=0.0, every=1)
    method.teacher = CollaborativeTeacher(settings, copy.deepcopy(large), small, layers, steps=1, seed=0)
    return method
