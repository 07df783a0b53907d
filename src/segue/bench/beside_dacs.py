"""Time and memory of a recipe's training step, against those of another's with the same network and pictures."""

import torch

from segue.bench.measure import Benchmark, benchmark, benchmark_device, compared, peak_mib
from segue.bench.stopwatch import Stopwatch
from segue.engine.build import build_method, build_student
from segue.engine.settings import Experiment
from segue.methods.method import Method
from segue.ops.mixing import one_hot
from segue.trees import Tree
from segue.types import Batch, Source, Target

SAME: Tree = {
    "network": {
        "encoder": "mit_b0", "head": "daformer", "context": None, "auxiliary": None, "aligned_corners": False,
    },
    "data": {"crop": [512, 512], "batch": 2},
}  # fmt: skip
"""What both steps have in common: the network and the batch of ``segue bench step`` for other recipes."""

HEADS: tuple[Tree, Tree] = ({"network": {"head": "segformer_tasks"}}, {"network": {"head": "segformer"}})
"""The heads of a recipe that learns depth and of the other one: what predicts depth is part of what that costs."""

TWO_PREDICTIONS: Tree = {"network": {"head": "deeplab_v2_se", "auxiliary": 0.5, "channels": 256}}
"""The head of both where a recipe compares two predictions of one network."""


def rows(
    own: Experiment, base: Experiment, *, repeats: int = 5, device: str | None = None
) -> list[Benchmark]:
    """Time whole steps in turns, without the optimiser, and measure the peaks of two of each in fresh processes.

    Of a recipe in stages, it is the step of the method that it is named by.
    """
    place = benchmark_device(device)
    # Before this process holds both methods: a step of many views takes half of a machine by itself.
    ours, theirs = (peak_mib(_two_steps, experiment) for experiment in (own, base))
    methods = [_built(experiment, place) for experiment in (own, base)]
    batches = [noise_batch_of(experiment, place) for experiment in (own, base)]
    seconds: list[list[float]] = [[], []]
    for turn in range(1 + repeats):
        for method, batch, measured in zip(methods, batches, seconds, strict=True):
            watch = Stopwatch(place)
            with watch.measure("step"):
                _step(method, batch, turn)
            measured.append(1000 * watch.seconds["step"])
    peer = f"{base.recipe}, same network and pictures"
    name = f"{own.recipe}_{own.network.encoder}"
    return [
        compared(f"{name}_step", seconds[0][1:], seconds[1][1:], unit="ms", peer=peer),
        benchmark(f"{name}_peak_memory", ours, unit="MiB", peer=peer, peer_value=theirs),
    ]


def _two_steps(experiment: Experiment, device: torch.device) -> None:
    method, batch = _built(experiment, device), noise_batch_of(experiment, device)
    for number in range(2):
        _step(method, batch, number)


def _step(method: Method, batch: Batch, number: int) -> None:
    method.begin(number)
    for view in method.views(batch, number):
        torch.stack(list(method(view).values())).sum().backward()
    method.zero_grad()
    method.after_step(batch, number)


def _built(experiment: Experiment, device: torch.device) -> Method:
    torch.manual_seed(experiment.seed)
    return build_method(experiment, build_student(experiment)).to(device).train()


def noise_batch_of(experiment: Experiment, device: torch.device) -> Batch:
    """Pictures of noise, with labels, offline labels and soft ones in blocks of 64 pixels."""
    torch.manual_seed(0)
    (height, width), count = experiment.data.crop, experiment.data.batch
    classes = len(experiment.data.classes)
    image = torch.randn(2, count, 3, height, width, device=device)
    blocks = torch.randint(0, classes, (count, -(-height // 64), -(-width // 64)), device=device)
    label = blocks.repeat_interleave(64, 1).repeat_interleave(64, 2)[:, :height, :width]
    soft = one_hot(label, torch.zeros(count, classes, height, width, device=device))
    valid = torch.ones_like(label, dtype=torch.bool)
    names = [""] * count
    depth = torch.rand(2, count, height, width, device=device) * 50 + 2
    return Batch(
        Source(image[0], label, names, depth[0]), Target(image[1], valid, label, names, soft, depth[1])
    )
