"""Two processes learn what one learns on the joined batch: with every recipe, parameters, teacher, bank and statistics.

What a step draws at random is drawn for the joined batch, of which each process takes its own pictures' part: else the
two would see other changes of their pictures than the one does.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from accelerate import Accelerator
from tests.processes import POSIX, forget_processes, on_two
from tests.tiny import ready, tiny
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from segue import ranks
from segue.engine import loop
from segue.engine.build import build_method, build_student
from segue.engine.experiment import revise
from segue.engine.loop import Trainer
from segue.engine.run import DISTRIBUTED
from segue.engine.settings import Experiment
from segue.recipes.catalogue import RECIPES
from segue.types import IGNORE, Batch, Source, Target

pytestmark = [pytest.mark.slow, POSIX]

EACH = 5
"""Pictures of each domain on one of two processes: a prime that divides no other side of what is drawn."""

STEPS = 2

# Plain gradients: AdamW's first updates are their signs, which rounding decides where they are near zero.
PLAIN = {
    "network": {"dropout": 0.0, "drop_path": 0.0},
    "optim": {
        "name": "sgd",
        "lr": 0.01,
        "warmup": 0.0,
        "momentum": 0.0,
        "nesterov": False,
        "weight_decay": 0.0,
    },
    "run": {"sync_batch_norm": True},
}


SAME_STEP = (
    "adabn", "target_supervised", "dida_paper", "dida_ssr", "ssr_mic", "clda_plain", "fada_distilled",
    "undoing_refined", "fda_single", "dpl", "dpl_fda", "cbst_sp",
)  # fmt: skip
"""Recipes whose steps are those of another one, or of two others at once."""

OWN_NORMS = "dacs whose batch norms see one process each"


class JoinedDraws(TorchFunctionMode):
    """Within, random tensors over this process's pictures are its part of those over the joined batch."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in (torch.rand, torch.randn) and kwargs.get("generator") is None:
            shape = tuple(args[0]) if len(args) == 1 and not isinstance(args[0], int) else args
            return _part(shape, lambda joined: func(joined, **kwargs))
        if func is Tensor.bernoulli_:
            drawn = _part(
                tuple(args[0].shape), lambda joined: torch.empty(joined).bernoulli_(*args[1:], **kwargs)
            )
            return args[0].copy_(drawn)
        return func(*args, **kwargs)


def _part(shape: tuple[int, ...], draw: Callable[[tuple[int, ...]], Tensor]) -> Tensor:
    """This process's part of what is drawn along the dimension of pictures; all of it if there is none."""
    own = EACH * (2 // ranks.processes())
    place = next((place for place, size in enumerate(shape) if size and size % own == 0), None)
    if place is None or ranks.processes() == 1:
        return draw(shape)
    joined = draw((*shape[:place], 2 * shape[place], *shape[place + 1 :]))
    return joined.narrow(place, ranks.rank() * shape[place], shape[place])


def batch(wanted: Experiment, step: int) -> Batch:
    """This process's part of a step's joined batch, whose halves have different numbers of labelled pixels."""
    generator = torch.Generator().manual_seed(step)
    side, classes = wanted.data.crop[0], len(wanted.data.classes)
    grid = (1, 1) if wanted.data.names_pictures else (side, side)
    own = slice(ranks.rank() * EACH, (ranks.rank() + 1) * EACH) if ranks.processes() == 2 else slice(None)
    image, other = torch.randn(2, 2 * EACH, 3, side, side, generator=generator)
    label, offline = torch.randint(0, classes, (2, 2 * EACH, *grid), generator=generator)
    if not wanted.data.names_pictures:
        label[0, : side // 2], offline[0, side // 2 :] = IGNORE, IGNORE
    soft = torch.randn(2 * EACH, classes, *grid, generator=generator).softmax(1)
    depth = torch.rand(2, 2 * EACH, *grid, generator=generator) * 50 + 2
    names = [""] * len(image[own])
    return Batch(
        Source(image[own], label[own], names, depth[0, own]),
        Target(other[own], None, offline[own], names, soft[own], depth[1, own]),
    )


def make_sure(student: nn.Module) -> None:
    """Let an untrained network be sure of some pixels, as labels depend on that."""
    with torch.no_grad():
        for layer in (module for module in student.modules() if isinstance(module, nn.Conv2d)):
            if layer.out_channels == 12:
                layer.weight.mul_(5)


def learn(wanted: Experiment, folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What a recipe's method holds before and after two steps on this process's pictures."""
    torch.manual_seed(0)
    student = build_student(wanted)
    make_sure(student)
    method = build_method(wanted, student)
    accelerator = Accelerator(cpu=True, kwargs_handlers=[DISTRIBUTED])
    trainer = Trainer(wanted, folder, method=method, accelerator=accelerator)
    before = {name: value.detach().clone() for name, value in method.state_dict().items()}
    seed_step = loop.seed_step
    with patch.object(loop, "seed_step", lambda seed, step, rank: seed_step(seed, step, 0)):
        for step in range(STEPS):
            loop.seed_step(0, step, ranks.rank())
            with JoinedDraws():
                trainer.update(iter([batch(wanted, step)]), step)
    return before, {name: value.detach() for name, value in method.state_dict().items()}


def keep(rank: int, experiments: dict[str, Experiment], folder: Path) -> None:
    ranks.join(cpu=True)
    for recipe, wanted in experiments.items():
        torch.save(learn(wanted, folder)[1], folder / f"{recipe}-{rank}.pt")


def test_with_every_recipe(tmp_path: Path) -> None:
    """One pair of processes learns with all recipes: starting a pair takes longer than learning."""
    experiments = {
        recipe: revise(ready(tiny(recipe), tmp_path / "models" / recipe), PLAIN)
        for recipe in RECIPES
        if recipe not in SAME_STEP
    }
    own_norms = revise(experiments["dacs"], {"run": {"sync_batch_norm": False}})
    on_two(keep, {**experiments, OWN_NORMS: own_norms}, tmp_path)
    forget_processes()

    def kept(recipe: str, rank: int) -> dict[str, Tensor]:
        return torch.load(tmp_path / f"{recipe}-{rank}.pt", weights_only=True)

    for recipe in (*experiments, OWN_NORMS):
        first, second = kept(recipe, 0), kept(recipe, 1)
        assert all(torch.equal(value, second[name]) for name, value in first.items()), recipe
    for recipe, wanted in experiments.items():
        first, (before, alone) = kept(recipe, 0), learn(wanted, tmp_path)
        assert any(not torch.equal(value, before[name]) for name, value in alone.items()), recipe
        for name in (name for name, value in alone.items() if value.numel()):
            value, start = alone[name].double(), before[name].double()
            # Sums in another order differ by rounding; a wrong mean over the processes is off by far more of the way.
            bound = 1e-2 * (value - start).abs().max() + 1e-6 * (1 + value.abs().max())
            assert (value - first[name].double()).abs().max() <= bound, (recipe, name)
