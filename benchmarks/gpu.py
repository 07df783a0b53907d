"""One part of what is measured on a GPU, item by item, into the one JSON file of all; benchmarks/gpu.sh calls it.

An item that fails leaves its error in the file, and those for which no time is left say so. Networks have random
weights and pictures are drawn: nothing but this repository is needed. ``--small`` does everything tiny on a processor.
"""

import argparse
import json
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from tests.tiny import (
    PIXEL_RECIPES,
    QUIET,
    assert_same_tensors,
    ready,
    stopped_after_two_steps,
    tiny,
)
from tests.watched_steps import batch as tiny_batch
from tests.watched_steps import prepare
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from segue.bench import beside_dacs
from segue.bench.loader import MEAN, STD, write_picture
from segue.bench.measure import machine_facts
from segue.bench.predict import model_of
from segue.classes import CITYSCAPES_19
from segue.data.crop import RandomCrop
from segue.data.folder import ImageFolder
from segue.data.loader import Loader
from segue.engine.build import build_method, build_student
from segue.engine.loop import Trainer, seed_step
from segue.engine.settings import Experiment
from segue.engine.stages import train
from segue.engine.waiting import Waiting
from segue.files import write_text
from segue.machine import cores
from segue.precision import settle_training
from segue.recipes.catalogue import RECIPES, experiment
from segue.recipes.pairs import PAIRS

Items = dict[str, Callable[[], Any]]

PEAKS = {
    "H100": 989e12,
    "H200": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "4090": 165e12,
    "V100": 0.0,
}
"""Dense bf16 operations a second by the data sheet, for the names that a GPU's name may hold."""


@dataclass(frozen=True)
class Scale:
    """How large everything is; the second half is for trying the script out on a processor."""

    device: torch.device
    recipes: tuple[str, ...] = tuple(RECIPES)
    encoder: str = "mit_b5"
    crops: int = 512  # DAFormer's; those of HRDA and MIC are twice as wide
    steps: int = 10
    picture: tuple[int, int] = (1024, 2048)
    widths: tuple[tuple[int, int], ...] = ((256, 128), (512, 64), (1280, 32), (2048, 16))
    stored: tuple[int, int] = (720, 1280)
    channels: int = 256
    stepped: tuple[str, ...] = ("daformer", "hrda", "mic")
    precisions: tuple[str, ...] = ("bf16", "tf32", "float32")

    @property
    def is_gpu(self) -> bool:
        return self.device.type == "cuda"

    def now(self) -> float:
        if self.is_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    def seconds(self, run: Callable[[], object], *, warm_up: int = 3) -> float:
        """The mean time of a call."""
        for _ in range(min(warm_up, self.steps)):
            run()
        began = self.now()
        for _ in range(self.steps):
            run()
        return (self.now() - began) / self.steps


SMALL = Scale(
    torch.device("cpu"), ("daformer", "mic"), "mit_nano", 64, 1, (64, 128), ((8, 8),), (96, 128),
    channels=16, stepped=("daformer", "mic"), precisions=("bf16",),
)  # fmt: skip


def trainer_of(wanted: Experiment, folder: Path, *, cpu: bool, bf16: bool = False) -> Trainer:
    AcceleratorState._reset_state()
    settle_training(wanted.run.float32, deterministic=wanted.run.deterministic)
    torch.manual_seed(0)
    method = build_method(wanted, build_student(wanted))
    prepare(method)
    accelerator = Accelerator(cpu=cpu, mixed_precision="bf16" if bf16 else "no")
    return Trainer(wanted, folder, method=method, accelerator=accelerator)


def in_folder(work: Callable[[Path], Any]) -> Any:
    with tempfile.TemporaryDirectory() as temporary:
        return work(Path(temporary))


# ---------------------------------------------------------------- 0 synchronisations


def waits(scale: Scale) -> Items:
    """How often each recipe's third step waits for the device, and the lines that do; nothing is seen without a GPU."""

    def of(recipe: str, folder: Path) -> dict[str, Any]:
        wanted = ready(tiny(recipe), folder / "large")
        trainer = trainer_of(wanted, folder, cpu=not scale.is_gpu)
        seen = tiny_batch(wanted, scale.device)
        for step in range(2):
            trainer.update(iter([seen]), step)
        scale.now()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if scale.is_gpu:
                torch.cuda.set_sync_debug_mode("warn")
            try:
                trainer.update(iter([seen]), 2)
            finally:
                if scale.is_gpu:
                    torch.cuda.set_sync_debug_mode("default")
        lines = Counter(
            f"{'/'.join(Path(one.filename).parts[-3:])}:{one.lineno}"
            for one in caught
            if "synchronizing" in str(one.message)
        )
        return {"waits": lines.total(), "lines": dict(lines)}

    return {recipe: lambda r=recipe: in_folder(lambda folder: of(r, folder)) for recipe in scale.recipes}


# ---------------------------------------------------------------- CPU and CUDA


class HostNumbers(TorchDispatchMode):
    """Random numbers are drawn on the host, wherever they are wanted, so that two devices see the same ones."""

    made = frozenset({"rand", "randn", "randint", "randperm"})
    given = frozenset({"bernoulli_", "uniform_", "normal_", "exponential_", "random_"})
    like = frozenset({"rand_like", "randn_like", "randint_like", "bernoulli", "multinomial"})

    def __init__(self) -> None:
        super().__init__()
        self.generators: dict[int, tuple[torch.Generator, torch.Generator]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = dict(kwargs or {}), func.overloadpacket.__name__
        on = torch.device(kwargs.get("device") or "cpu")
        if args and isinstance(args[0], torch.Tensor):
            on = args[0].device
        if on.type != "cuda" or name not in {*self.made, *self.given, *self.like, "native_dropout"}:
            return func(*args, **kwargs)
        if kwargs.get("generator") is not None:
            kwargs["generator"] = self._on_host(kwargs["generator"])
        if name == "native_dropout":
            keep = 1 - args[1]
            mask = torch.empty_like(args[0], device="cpu").bernoulli_(keep).to(on)
            return args[0] * mask / keep, mask.bool()
        if name in self.made:
            return func(*args, **kwargs | {"device": torch.device("cpu"), "pin_memory": False}).to(on)
        host = [torch.empty_like(args[0], device="cpu").copy_(args[0]), *args[1:]]
        if "device" in kwargs:
            kwargs["device"] = torch.device("cpu")
        drawn = func(*host, **kwargs)
        return args[0].copy_(drawn) if name in self.given else drawn.to(on)

    def _on_host(self, generator: torch.Generator) -> torch.Generator:
        host = torch.Generator().manual_seed(generator.initial_seed())
        return self.generators.setdefault(id(generator), (generator, host))[
            1
        ]  # held, so that ids stay theirs


def equal(scale: Scale) -> Items:
    """How far losses and gradients of each recipe's first step on the device differ from those on the processor."""

    def first_step(wanted: Experiment, folder: Path, cpu: bool) -> tuple[dict[str, float], dict[str, Any]]:
        trainer = trainer_of(wanted, folder, cpu=cpu)
        torch.manual_seed(1)
        seen, losses = tiny_batch(wanted, trainer.accelerator.device), dict[str, float]()
        seed_step(0, 0, 0)
        trainer.method.train()
        with HostNumbers():
            trainer.method.begin(0)
            for view in trainer.method.views(seen, 0):
                found = trainer.method(view)
                torch.stack(list(found.values())).sum().backward()
                losses |= {name: float(loss.detach()) for name, loss in found.items()}
        gradients = {name: one.grad for name, one in trainer.method.named_parameters()}
        return losses, {name: one.double().cpu() for name, one in gradients.items() if one is not None}

    def of(recipe: str, folder: Path) -> dict[str, Any]:
        wanted = ready(tiny(recipe, {"run": {"float32": "ieee"}}), folder / "large")
        (ours, mine), (theirs, others) = (first_step(wanted, folder, cpu) for cpu in (True, not scale.is_gpu))
        losses = max(abs(theirs[name] - loss) / max(abs(loss), 1e-3) for name, loss in ours.items())
        whole = sum(float(one.square().sum()) for one in mine.values()) ** 0.5
        apart = sum(float((one - others[name]).square().sum()) for name, one in mine.items()) ** 0.5
        return {"losses": losses, "gradients": apart / whole, "within_1e-4": losses <= 1e-4}

    return {recipe: lambda r=recipe: in_folder(lambda folder: of(r, folder)) for recipe in scale.recipes}


# ---------------------------------------------------------------- speed and memory of steps


def wanted_step(scale: Scale, recipe: str, *, float32: str = "tf32", compiled: bool = False) -> Experiment:
    side = scale.crops * (1 if recipe == "daformer" else 2)
    changes: dict[str, Any] = {
        "steps": 40_000,
        "network": {"encoder": scale.encoder, "weights": None, "channels": scale.channels},
        "data": {"crop": [side, side], "batch": 2},
        "run": {"float32": float32, "compile": compiled},
    }
    return experiment(recipe, PAIRS["gta5_to_cityscapes"], changes)


def peak_operations(scale: Scale) -> float | None:
    name = torch.cuda.get_device_name() if scale.is_gpu else ""
    return next((peak for known, peak in PEAKS.items() if known in name and peak), None)


def operations(run: Callable[[], object]) -> float:
    """Floating-point operations of a call, two for each product that is summed."""
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


def steps(scale: Scale) -> Items:
    """Steps a second, peak memory and achieved share of the bf16 peak, eager before compiled."""
    counted: dict[str, float] = {}

    def of(recipe: str, precision: str, compiled: bool, folder: Path) -> dict[str, Any]:
        torch._dynamo.reset()
        float32 = "ieee" if precision == "float32" else "tf32"
        wanted = wanted_step(scale, recipe, float32=float32, compiled=compiled)
        trainer = trainer_of(wanted, folder, cpu=not scale.is_gpu, bf16=precision == "bf16")
        seen = beside_dacs.noise_batch_of(wanted, scale.device)
        if recipe not in counted and not compiled:
            counted[recipe] = operations(lambda: trainer.update(iter([seen]), 0))
        if scale.is_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        passed = scale.seconds(lambda: trainer.update(iter([seen]), 1))
        found = {"steps_per_second": 1 / passed, "operations": counted.get(recipe)}
        if scale.is_gpu:
            found["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
        peak = peak_operations(scale)
        if peak and counted.get(recipe):
            found["share_of_bf16_peak"] = counted[recipe] / passed / peak
        return found

    kinds = [
        (recipe, precision, compiled)
        for compiled in (False, True)
        for precision in scale.precisions
        for recipe in scale.stepped
    ]
    return {
        f"{recipe} {precision} {'compiled' if compiled else 'eager'}": (
            lambda k=(recipe, precision, compiled): in_folder(lambda folder: of(*k, folder))
        )
        for recipe, precision, compiled in kinds
    }


def phases(scale: Scale) -> Items:
    """The achieved share of the bf16 peak of each phase of DAFormer's step, in bf16 and eager."""

    def of(phase: str, folder: Path) -> dict[str, Any]:
        wanted = wanted_step(scale, "daformer")
        method = trainer_of(wanted, folder, cpu=not scale.is_gpu, bf16=True).method.train()
        image = beside_dacs.noise_batch_of(wanted, scale.device).source.image
        autocast = torch.autocast(scale.device.type, torch.bfloat16)
        with torch.no_grad(), autocast:
            maps = [one.detach() for one in method.student.encoder(image)]

        def learnt(network: Any, given: Any) -> None:
            with autocast:
                found = network(given)
            found = found[0] if isinstance(found, tuple) else torch.cat([one.flatten() for one in found])
            found.float().mean().backward()

        def labelled() -> None:
            with torch.no_grad(), autocast:
                method.teacher.network(image)

        runs: Items = {
            "encoder": lambda: learnt(method.student.encoder, image),
            "head": lambda: learnt(method.student.head, [one.detach().requires_grad_() for one in maps]),
            "teacher": labelled,
        }
        count, passed = operations(runs[phase]), scale.seconds(runs[phase])
        found = {"ms": 1000 * passed, "operations": count}
        peak = peak_operations(scale)
        return found | ({"share_of_bf16_peak": count / passed / peak} if peak else {})

    names = ("encoder", "head", "teacher")
    return {name: lambda n=name: in_folder(lambda folder: of(n, folder)) for name in names} | {
        "product": lambda: _product(scale)
    }


def _product(scale: Scale) -> dict[str, float]:
    """What a large product of bf16 matrices achieves: the peak that can be had."""
    side = 8192 if scale.is_gpu else 64
    matrix = torch.randn(side, side, device=scale.device, dtype=torch.bfloat16)
    return {"operations_per_second": 2.0 * side**3 / scale.seconds(lambda: matrix @ matrix)}


def data(scale: Scale) -> Items:
    """The share of DAFormer's time, bf16, spent waiting for pictures from files; logs are read every 5 steps."""

    def of(folder: Path) -> dict[str, Any]:
        for place in range(16 if scale.is_gpu else 2):
            write_picture(folder, f"{place:03}", place, scale.stored)
        source, target = (
            ImageFolder(folder, classes=CITYSCAPES_19, labelled=labelled) for labelled in (True, False)
        )
        wanted = wanted_step(scale, "daformer")
        trainer = trainer_of(wanted, folder, cpu=not scale.is_gpu, bf16=scale.is_gpu)
        cut = RandomCrop((scale.crops, scale.crops), fill=MEAN, max_share=0.75)
        workers = min(8, cores()) if scale.is_gpu else 0
        loader = Loader(
            source, target, source_transform=cut, target_transform=cut, batch=2, seed=0, mean=MEAN, std=STD,
            workers=workers, device=scale.device,
        )  # fmt: skip
        first, count = 10 * (scale.steps > 1), 6 * scale.steps
        with closing(loader.steps(0, first + count)) as reading:
            batches, began = Waiting(reading), 0.0
            for step in range(first + count):
                if step == first:
                    began, _ = scale.now(), batches.spent()
                trainer.update(batches, step)
                if step % 5 == 0:
                    scale.now()
            passed = scale.now() - began
        return {"steps_per_second": count / passed, "waiting": batches.spent() / passed, "workers": workers}

    return {"daformer": lambda: in_folder(of)}


# ---------------------------------------------------------------- convolutions, resuming, predicting


def layouts(scale: Scale) -> Items:
    """Milliseconds of depth-wise 3x3 convolutions of the encoder's hidden widths, forward and backward."""

    def of(width: int, side: int) -> dict[str, float]:
        found: dict[str, float] = {}
        for dtype in (torch.bfloat16, torch.float32):
            weight = torch.randn(width, 1, 3, 3, device=scale.device, dtype=dtype, requires_grad=True)
            for layout in (torch.contiguous_format, torch.channels_last):
                maps = torch.randn(2, width, side, side, device=scale.device, dtype=dtype)
                maps = maps.contiguous(memory_format=layout).requires_grad_()

                def both(maps: torch.Tensor = maps, weight: torch.Tensor = weight) -> None:
                    F.conv2d(maps, weight, padding=1, groups=width).sum().backward()

                key = f"{str(dtype)[6:]} {str(layout)[6:]}"
                found[key] = 1000 * scale.seconds(both)
        return found

    return {f"{width}x{side}x{side}": lambda w=width, s=side: of(w, s) for width, side in scale.widths}


def resume(scale: Scale) -> Items:
    """Whether three deterministic steps, stopped after two and resumed, are bit-equal to three in one go."""

    def of(recipe: str, folder: Path) -> dict[str, Any]:
        wanted = ready(tiny(recipe, {"run": {"deterministic": True}}), folder / "large")
        train(wanted, folder / "whole", console=QUIET, cpu=not scale.is_gpu)
        with pytest.MonkeyPatch.context() as patch, stopped_after_two_steps(patch):
            train(wanted, folder / "broken", console=QUIET, cpu=not scale.is_gpu)
        train(wanted, folder / "broken", console=QUIET, cpu=not scale.is_gpu)
        files = [path.relative_to(folder / "whole") for path in (folder / "whole").rglob("*.safetensors")]
        for file in files:
            assert_same_tensors(folder / "whole" / file, folder / "broken" / file)
        return {"bit_equal": True, "files": len(files)}

    known = [recipe for recipe in scale.recipes if recipe in PIXEL_RECIPES]
    return {recipe: lambda r=recipe: in_folder(lambda folder: of(r, folder)) for recipe in known}


def predict(scale: Scale) -> Items:
    """Whole pictures a second, from bytes on the host to classes on the host."""

    def of(kind: str, precision: str) -> dict[str, float]:
        detail = (scale.crops, scale.crops)
        options: dict[str, Any] = {"multi_resolution": {"detail": detail}} if kind == "hrda" else {}
        settle_training("tf32" if precision == "tf32" else "ieee", deterministic=False)
        dtype: Any = "bfloat16" if precision == "bf16" else "float32"
        model = model_of(
            scale.encoder,
            "daformer",
            scale.picture,
            scale.device,
            precision=dtype,
            channels=scale.channels,
            **options,
        )
        picture = torch.randint(0, 256, (1, 3, *scale.picture), dtype=torch.uint8)
        return {"pictures_per_second": 1 / scale.seconds(lambda: model.classes_of(picture).cpu())}

    kinds = [(kind, precision) for kind in ("daformer", "hrda") for precision in scale.precisions]
    return {f"{kind} {precision}": lambda k=(kind, precision): of(*k) for kind, precision in kinds}


PARTS: dict[str, tuple[Callable[[Scale], Items], int]] = {
    "waits": (waits, 150), "equal": (equal, 200), "steps": (steps, 540), "phases": (phases, 60),
    "data": (data, 60), "layouts": (layouts, 30), "resume": (resume, 150), "predict": (predict, 90),
}  # fmt: skip
"""The parts in the order in which they are run, and the seconds after which none of their items is begun."""


def measured(part: str, scale: Scale, path: Path, limit: float) -> dict[str, Any]:
    """Do the items of a part; the file holds what is known after each of them."""
    began, found = time.perf_counter(), dict[str, Any]()
    for name, item in PARTS[part][0](scale).items():
        if time.perf_counter() - began > limit:
            found[name] = {"error": f"not measured: {limit:.0f} s were over"}
        else:
            try:
                found[name] = item()
            except Exception as error:
                found[name] = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"}
        print(f"{part}: {name}: {json.dumps(found[name])}", flush=True)
        keep(
            path,
            part,
            {"seconds": round(time.perf_counter() - began, 1), "items": found},
            small=not scale.is_gpu,
        )
    return found


def keep(path: Path, part: str, content: dict[str, Any], *, small: bool) -> None:
    """Put a part into the file beside those that are there."""
    whole = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"parts": {}}
    whole |= {"machine": machine_facts(), "small": small}
    whole["parts"][part] = content
    write_text(path, json.dumps(whole, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=[*PARTS, "names"], help="names: only list the parts")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/gpu.json"))
    parser.add_argument("--limit", type=float, help="seconds; by default the part's own")
    parser.add_argument("--small", action="store_true", help="tiny, on a processor, to try the script out")
    given = parser.parse_args()
    if given.part == "names":
        print(*PARTS)
        return
    if not given.small and not torch.cuda.is_available():
        parser.error("there is no GPU; --small tries the script out on a processor")
    scale = SMALL if given.small else Scale(torch.device("cuda", 0))
    limit = given.limit or PARTS[given.part][1]
    with torch._dynamo.config.patch(disable=given.small):  # compiling takes minutes
        measured(given.part, scale, given.json, limit)


if __name__ == "__main__":
    main()
