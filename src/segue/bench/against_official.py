"""DAFormer's head, and steps up to MIC's, beside the official order of operations, by phase and as a whole.

Both run in turns in one process, with the same parameters, pictures and random numbers, and the same allocator, which
keeps freed memory for both.
"""

import copy
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, cast

import torch
from torch import Tensor

from segue.bench.measure import Benchmark, benchmark, benchmark_device, compared, peak_mib
from segue.bench.official import PlainHead
from segue.bench.official_step import OfficialStep
from segue.bench.step import CLASSES, noise_batch, self_training
from segue.bench.stopwatch import Stopwatch, replaced
from segue.clock import in_turns, times_ms
from segue.engine import optim
from segue.methods.self_training import SelfTraining
from segue.models.build import build_encoder
from segue.models.heads.daformer import DaformerHead
from segue.models.segmenter import Segmenter
from segue.models.settings import NetworkSettings
from segue.types import Batch

PEER = "the official order of operations, channel by channel, float32"

PHASES = ("encoder", "head", "teacher", "distance", "mixing", "update")
"""A step's: the student's encoder and head forward and backward, the teacher's label, the feature distance, what the
student is shown, optimiser and average. "rest" is the remaining time, mostly that of losses; with two resolutions,
whose passes are entangled, it is the student's, too."""

TWO_RESOLUTIONS = PHASES[2:]


def head_rows(
    *, encoder: str = "mit_b0", size: int = 512, batch: int = 2, repeats: int = 5, device: str | None = None
) -> list[Benchmark]:
    """Time the head alone, on maps of the encoder's widths.

    Forward and backward in training, the same of ours in bf16 against the peer's float32, and a teacher's pass:
    without gradient, normalised by the batch.
    """
    place = benchmark_device(device)
    widths = build_encoder(encoder).out_channels
    own = DaformerHead(widths, CLASSES, NetworkSettings()).to(place).train()
    plain = PlainHead(copy.deepcopy(own))
    maps = [
        torch.randn(batch, width, size >> s, size >> s, device=place) for s, width in enumerate(widths, 2)
    ]
    last = [one.contiguous(memory_format=torch.channels_last) for one in maps]
    runs: dict[str, Callable[[], object]] = {
        "own_train": lambda: _learnt(own, last),
        "plain_train": lambda: _learnt(plain, maps),
        "own_train_bf16": lambda: _learnt(own, last, bf16=True),
        "own_teacher": lambda: _seen(own, last),
        "plain_teacher": lambda: _seen(plain, maps),
    }
    times = times_ms(runs, repeats=repeats)
    return [
        compared(
            f"head_{encoder}_{kind}", times[f"own_{kind}"], times[f"plain_{other}"], unit="ms", peer=PEER
        )
        for kind, other in (("train", "train"), ("train_bf16", "train"), ("teacher", "teacher"))
    ]


def step_rows(
    recipe: str = "daformer",
    *,
    encoder: str = "mit_b0",
    size: int = 512,
    batch: int = 2,
    repeats: int = 3,
    device: str | None = None,
) -> list[Benchmark]:
    """Time the whole step of DAFormer, HRDA or MIC and its phases, by default at DAFormer's crop, in float32."""
    place = benchmark_device(device)
    torch.manual_seed(0)
    method = self_training(recipe, encoder, size=size).to(place).train()
    plain = OfficialStep(method)
    optimizer = optim.adamw(
        optim.parameter_groups(method, lr=6e-5, head_factor=10.0, weight_decay=0.01), betas=(0.9, 0.999)
    )
    data = noise_batch(batch, size, place)
    phases = PHASES if recipe == "daformer" else TWO_RESOLUTIONS
    numbers = {"own": 0, "plain": 0}

    def own_step(watch: Stopwatch, step: int) -> None:
        our_step(method, optimizer, data, step, watch)

    def plain_step(watch: Stopwatch, step: int) -> None:
        plain(data, step, watch)

    def timed(name: str, run: Callable[[Stopwatch, int], None]) -> dict[str, float]:
        watch = Stopwatch(place)
        torch.manual_seed(numbers[name])
        with watch.measure("step"):
            run(watch, numbers[name])
        numbers[name] += 1
        rest = watch.seconds["step"] - sum(watch.seconds[phase] for phase in phases)
        return watch.seconds | {"rest": rest}

    turns = in_turns(
        {"own": lambda: timed("own", own_step), "plain": lambda: timed("plain", plain_step)}, repeats=repeats
    )
    return [_line(f"{recipe}_{encoder}_{phase}", phase, turns) for phase in (*phases, "rest", "step")]


def memory_rows(
    recipe: str = "daformer", *, encoder: str = "mit_b0", size: int = 512, batch: int = 2
) -> list[Benchmark]:
    """Measure the peak of two updates, in fresh processes that both keep freed memory."""
    ours, plain = (
        peak_mib(_two_updates, recipe, encoder, size, batch, is_plain) for is_plain in (False, True)
    )
    return [benchmark(f"{recipe}_{encoder}_peak_memory", ours, unit="MiB", peer=PEER, peer_value=plain)]


def _two_updates(
    recipe: str, encoder: str, size: int, batch: int, is_plain: bool, device: torch.device
) -> None:
    torch.manual_seed(0)
    method = self_training(recipe, encoder, size=size).to(device).train()
    data, watch = noise_batch(batch, size, device), Stopwatch(device)
    if is_plain:
        plain = OfficialStep(method)
        del method.student, method.teacher  # it has copies
        for step in range(2):
            plain(data, step, watch)
        return
    optimizer = optim.adamw(
        optim.parameter_groups(method, lr=6e-5, head_factor=10.0, weight_decay=0.01), betas=(0.9, 0.999)
    )
    for step in range(2):
        our_step(method, optimizer, data, step, watch)


def our_step(
    method: SelfTraining, optimizer: torch.optim.Optimizer | None, data: Batch, step: int, watch: Stopwatch
) -> dict[str, float]:
    """One update of ours: its losses by name, and its phases added to a watch.

    Without an optimiser, parameters and teacher stay as they are. ``step`` counts the updates before this one.
    """
    student, features = cast(Segmenter, method.student), list[Tensor]()
    encode = student.encoder.forward

    def encode_and_keep(image: Tensor) -> list[Tensor]:
        features[:] = encode(image)
        return list(features)

    distance = method.terms["distance"]
    parts: list[tuple[Any, str, str, Callable[..., Any]]] = [
        (student.encoder, "forward", "encoder", encode_and_keep),
        (student.head, "forward", "head", student.head.forward),
        (method.teacher, "forward", "teacher", method.teacher.forward),
        (method, "_label", "teacher", method._label),  # pyright: ignore[reportPrivateUsage]
        (distance, "forward", "distance", distance.forward),
        (method, "mix", "mixing", cast(Callable[..., Any], method.mix)),
        (method, "augment", "mixing", cast(Callable[..., Any], method.augment)),
    ]
    logged: dict[str, Tensor] = {}
    with ExitStack() as stack:
        for owner, name, phase, function in parts:
            stack.enter_context(replaced(owner, name, watch.around(phase, function)))
        for view in method.views(data, step):
            losses: dict[str, Tensor] = method(view)
            watch.backward(torch.stack(list(losses.values())).sum(), features)
            logged |= {name: loss.detach() for name, loss in losses.items()}
            features.clear()
    if optimizer is not None:
        with watch.measure("update"):
            optimizer.step()
            optimizer.zero_grad()
            method.after_step(data, step)
    return {name: float(loss) for name, loss in logged.items()}


def _line(name: str, phase: str, turns: dict[str, list[dict[str, float]]]) -> Benchmark:
    own, others = ([1000 * turn[phase] for turn in turns[kind]] for kind in ("own", "plain"))
    return compared(name, own, others, unit="ms", peer=PEER)


def _learnt(head: torch.nn.Module, maps: list[Tensor], *, bf16: bool = False) -> None:
    features = [one.detach().requires_grad_() for one in maps]
    with torch.autocast(maps[0].device.type, dtype=torch.bfloat16, enabled=bf16):
        logits: Tensor = head(features)[0]
    logits.float().square().mean().backward()
    head.zero_grad()


@torch.no_grad()
def _seen(head: torch.nn.Module, maps: list[Tensor]) -> None:
    head(maps)
