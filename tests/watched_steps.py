"""No recipe's step waits for its device, mixes devices or asks for what CUDA refuses under autocast.

Seen on a device that is watched instead of used.

Three steps of each: a bank counts, is filled, and learns. Reading the flag of what is not finite, logging and saving
may wait; they are not part of ``update``. ``test_no_waiting.py`` runs these tests.
"""

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator

from segue.engine.build import build_method, build_student
from segue.engine.experiment import revise
from segue.engine.loop import Trainer, seed_step
from segue.engine.model_card import model_card
from segue.engine.settings import Experiment
from segue.methods.dual_path import DualPathSettings
from segue.methods.method import Method
from segue.methods.teachers.collaborative import CollaborativeTeacher
from segue.methods.terms.instance_bank import InstanceBank
from segue.models.weights import save_model
from segue.recipes.catalogue import RECIPES
from segue.types import Batch, Source, Target
from tests.tiny import ready, tiny, write_model
from tests.watched_device import Watch, device

# What may wait, how often in three steps, and why.
ALLOWED = {
    "kornia.filters.gaussian_blur2d": (9, "on CUDA kornia moves these few numbers without waiting"),
    "self._full = bool(self.filled.all())": (2, "a bank asks whether it is full, until it is"),
    "rows = self.scores.cpu().tolist()": (1, "a collaborative teacher chooses its blocks once in a run"),
}


def batch(wanted: Experiment, on: torch.device) -> Batch:
    side, classes = wanted.data.crop[0], len(wanted.data.classes)
    grid = (1, 1) if wanted.data.names_pictures else (side, side)
    image, label = torch.randn(2, 3, side, side), torch.randint(0, classes, (2, *grid))
    valid, soft = torch.ones(2, *grid, dtype=torch.bool), torch.rand(2, classes, *grid).softmax(1)
    depth = torch.rand(2, *grid) * 50 + 2
    there = [value.to(on) for value in (image, label, image.flip(0), valid, label.flip(0), soft, depth)]
    source = Source(*there[:2], ["", ""], there[6])
    return Batch(source, Target(there[2], there[3], there[4], ["", ""], there[5], there[6]))


def prepare(method: Method) -> None:
    """Choose the layers of a collaborative teacher, which a run does after measuring them."""
    teacher = getattr(method, "teacher", None)
    if isinstance(teacher, CollaborativeTeacher):
        teacher.choose(method.student, teacher.network.encoder.layers[-1])


def learnt_since_the_last_view(trainer: Trainer) -> set[int]:
    """The ids of parameters that have got a gradient since the newest pass began; it keeps itself up to date."""
    touched: set[int] = set()
    trainer.method.register_forward_pre_hook(lambda *_: touched.clear())
    for parameter in trainer.learnt:
        parameter.register_post_accumulate_grad_hook(lambda one: touched.add(id(one)))
    return touched


@contextmanager
def as_under_cudas_autocast() -> Generator[None]:
    """CUDA's autocast refuses what it refuses there, and converts nothing, as no tensor is on CUDA."""
    torch.set_autocast_enabled("cuda", True)
    try:
        with torch._C._IncludeDispatchKeyGuard(torch._C.DispatchKey.AutocastCUDA):
            yield
    finally:
        torch.set_autocast_enabled("cuda", False)


PART, PARTS = (int(number) for number in os.environ.get("PART", "0/1").split("/"))


STAGES = ("dpl_dual: a translator", "dpl_dual: a path in the other look")
"""Methods that only a stage of a recipe trains."""


def staged(wanted: Experiment, folder: Path, stage: str) -> Experiment:
    """The experiment of a stage, with the untrained models that it is built around."""
    settings = wanted.method
    if not stage or not isinstance(settings, DualPathSettings):
        return wanted
    write_model(wanted, folder / "target")
    changes = settings.translator.changes(SimpleNamespace(steps=3), folder / "target")  # type: ignore[arg-type]
    translating = revise(wanted, changes)
    if stage == "a translator":
        return translating
    method = build_method(translating, build_student(translating))
    save_model(
        folder / "looks", method.student, replace(model_card(wanted, step=0), network=method.arguments)
    )  # type: ignore[arg-type]
    own = {"name": "path", "path": "source", "translator": str(folder / "looks"), "labels": "made"}
    return revise(wanted, {"method": own})


@pytest.mark.parametrize("recipe", [*RECIPES, *STAGES][PART::PARTS])
def test_a_step_waits_for_nothing(recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on = device()
    recipe, _, stage = recipe.partition(": ")
    wanted = staged(ready(tiny(recipe), tmp_path / "large"), tmp_path, stage)
    monkeypatch.setattr(Accelerator, "device", property(lambda _: on))
    monkeypatch.setattr(InstanceBank, "_dice", lambda *_: torch.Generator())  # a watched device has none
    torch.manual_seed(0)
    method = build_method(wanted, build_student(wanted))
    prepare(method)
    with Watch() as watch:
        trainer = Trainer(wanted, tmp_path, method=method, accelerator=Accelerator(cpu=True))
        seen = [batch(wanted, on) for _ in range(3)]
        watch.waits.clear()
        touched = learnt_since_the_last_view(trainer)
        for step, one in enumerate(seen):
            seed_step(0, step, 0)
            with as_under_cudas_autocast():
                trainer.update(iter([one]), step)
            # Gradients are reduced over processes in the last view's backward, which waits for all that learns.
            assert trainer.has_layers_outside or touched == set(map(id, trainer.learnt))
    for wait, (most, _) in ALLOWED.items():
        found = [what for what in watch.waits if wait in what]
        assert sum(watch.waits.pop(what) for what in found) <= most, wait
    assert not watch.waits, "\n".join(f"{count} x {what}" for what, count in watch.waits.items())


def test_what_cuda_refuses_is_seen() -> None:
    with as_under_cudas_autocast(), pytest.raises(RuntimeError, match="unsafe to autocast"):
        torch.nn.functional.binary_cross_entropy(torch.rand(3), torch.rand(3))


def test_what_waits_is_seen() -> None:
    on = device()
    with Watch() as watch:
        value = torch.arange(4.0, device=on)
        assert not watch.waits, "what is made on the device waits for nothing"
        (value * 2 + 1.0).sum()
        value.to("cpu", non_blocking=True)
        torch.ones(4).to(on, non_blocking=True)
        value[torch.tensor(1)] = 2.0
        assert len(watch.waits) == 1, "only the copy whose end somebody must wait for to use it"
        waits: list[Callable[[], object]] = [
            lambda: float(value[0]),
            lambda: value[value > 1],
            lambda: value.nonzero(),
            lambda: value.cpu(),
            lambda: torch.tensor([1.0, 2.0], device=on),
            lambda: value[torch.tensor([0, 1])],
            lambda: value.long().bincount(),
        ]
        for wait in waits:
            before = watch.waits.total()
            wait()
            assert watch.waits.total() == before + 1
        with pytest.raises(AssertionError, match="on the host and on the device"):
            value + torch.ones(4)
