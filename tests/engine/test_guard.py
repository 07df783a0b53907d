"""A NaN of one view, one term, one process or the gradient alone stops the run in the good state before it.

Nothing of that step is left in any tensor of a checkpoint, the message names step, view, term and the kept pictures,
and once its cause is gone the run goes on bit-equal to one that never met it.
"""

import io
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from rich.console import Console
from safetensors import safe_open
from safetensors.torch import load_file
from tests.methods.building import context
from tests.processes import on_two
from tests.tiny import batch, ready, tiny
from torch import Tensor, nn

from segue.data.loader import Loader
from segue.engine import optim
from segue.engine.experiment import revise
from segue.engine.loop import Trainer
from segue.engine.run import train
from segue.engine.settings import Experiment, RunSettings
from segue.methods.source_only import SourceOnly, SourceOnlySettings
from segue.methods.terms.feature_distance import FeatureDistance
from segue.models.build import build_segmenter
from segue.types import Batch

BAD = 3
SETTINGS = {"steps": 6, "run": {"log_every": 100, "save_every": 2, "draw_every": 0}}


def wanted(recipe: str, folder: Path) -> Experiment:
    settings = tiny(recipe, SETTINGS, {"data": {"evaluation": None, "source_evaluation": None}})
    return ready(settings, folder / "models")


def run(settings: Experiment, folder: Path) -> None:
    train(settings, folder, console=Console(file=io.StringIO()), cpu=True)


def spoilt(half: str):
    """The loader's batches with NaN in a picture of the bad step: so many that no mixing pastes over all."""
    steps = Loader.steps

    def spoil(self: Loader, start: int, stop: int) -> Iterator[Batch]:
        for step, one in zip(range(start, stop), steps(self, start, stop), strict=True):
            if step == BAD:
                getattr(one, half).image[0, 0] = math.nan
            yield one

    return spoil


def checkpoint(folder: Path, step: int) -> dict[str, Tensor]:
    place = folder / f"checkpoints/{step:07d}"
    return {
        f"{name}/{key}": value
        for name in ("method", "optimizer")
        for key, value in load_file(place / f"{name}.safetensors").items()
    }


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "half", "named"),
    [
        ("source_only", "source", "segmentation of view source;"),
        ("daformer", "target", "segmentation of view target;"),
        ("daformer_mic", "target", "segmentation of view masked, segmentation of view target;"),
        ("dida", "target", "segmentation of view target;"),
        ("clda", "target", "segmentation of view target;"),
    ],
)
def test_a_bad_picture_at_a_step_that_is_not_logged(
    recipe: str, half: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = wanted(recipe, tmp_path)
    run(revise(settings, {"run": {"save_every": 1, "keep": 9}}), tmp_path / "clean")
    with monkeypatch.context() as patched:
        patched.setattr(Loader, "steps", spoilt(half))
        with pytest.raises(
            ValueError, match=rf"^step {BAD}: not finite: .*{named} the pictures are in "
        ) as stopped:
            run(settings, tmp_path / "run")
    assert "\n" not in str(stopped.value)

    there = sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir())
    assert there == ["0000002", "0000003"]
    for step in (2, 3):
        found = checkpoint(tmp_path / "run", step)
        assert all(bool(value.isfinite().all()) for value in found.values())
        assert equal(found, checkpoint(tmp_path / "clean", step)), "the state is not that before the bad step"

    file = tmp_path / f"run/not_finite/step_{BAD:07d}_process_0.safetensors"
    assert str(file) in str(stopped.value)
    kept = load_file(file)
    assert bool(kept[f"{half}_image"][0, 0, 0, 0].isnan())
    with safe_open(file, "pt") as opened:
        facts = opened.metadata()
    assert facts["step"] == str(BAD) and facts["process"] == "0" and f"{half}/segmentation" in facts["wrong"]
    assert len(json.loads(facts[f"{half}_names"])) == len(kept[f"{half}_image"]) == 2

    run(settings, tmp_path / "run")
    assert equal(checkpoint(tmp_path / "run", 6), checkpoint(tmp_path / "clean", 6))


def test_one_term_is_named_and_what_is_after_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distance = FeatureDistance.forward
    passes = iter(range(100))

    def spoil(self: FeatureDistance, *arguments: object) -> dict[str, Tensor]:
        found = distance(self, *arguments)
        return {name: value * (math.nan if next(passes) == BAD else 1) for name, value in found.items()}

    settings = revise(wanted("daformer", tmp_path), {"terms": {"feature_distance": {}}})
    monkeypatch.setattr(FeatureDistance, "forward", spoil)
    with pytest.raises(ValueError, match=rf"^step {BAD}: not finite: feature_distance of view source; "):
        run(settings, tmp_path / "run")
    assert all(bool(value.isfinite().all()) for value in checkpoint(tmp_path / "run", BAD).values())


class NoGradient(torch.autograd.Function):
    """A finite value whose gradient is not."""

    @staticmethod
    def forward(context: object, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(context: object, gradient: Tensor) -> Tensor:
        return gradient * math.inf


def spoil_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    see = SourceOnly.forward
    passes = iter(range(100))

    def spoil(self: SourceOnly, seen: object) -> dict[str, Tensor]:
        found = see(self, seen)
        is_bad = next(passes) == BAD
        return {name: NoGradient.apply(value) if is_bad else value for name, value in found.items()}

    monkeypatch.setattr(SourceOnly, "forward", spoil)


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_gradient_that_is_not_finite_though_the_loss_is(
    clip: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_gradient(monkeypatch)
    settings = revise(wanted("source_only", tmp_path), {"optim": {"clip": clip}})
    with pytest.raises(ValueError, match=rf"^step {BAD}: not finite: the gradient, though every loss is; "):
        run(settings, tmp_path / "run")
    assert all(bool(value.isfinite().all()) for value in checkpoint(tmp_path / "run", BAD).values())


def test_in_the_first_step_nothing_was_learnt_and_nothing_is_kept_but_the_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "segue.models.segmenter.cross_entropy", lambda logits, label: logits.sum(1) * math.nan
    )
    with pytest.raises(
        ValueError,
        match=r"^step 0: not finite: segmentation of view source; .* a lower optim\.lr, or optim\.clip$",
    ):
        run(revise(wanted("source_only", tmp_path), {"optim": {"accumulate": 2}}), tmp_path / "run")
    assert not (tmp_path / "run/checkpoints").exists()
    kept = load_file(tmp_path / "run/not_finite/step_0000000_process_0.safetensors")
    assert set(kept) == {"source_image", "source_label", "1_source_image", "1_source_label"}


def test_two_checkpoints_are_kept() -> None:
    assert RunSettings().keep >= 2


def network() -> nn.Module:
    torch.manual_seed(0)
    return build_segmenter("mit_nano", "segformer", num_classes=12, channels=16)


def scaled(folder: Path) -> Trainer:
    """fp16's gradient scaler in full precision: it needs no GPU."""
    accelerator = Accelerator(cpu=True)
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    return Trainer(
        revise(tiny("source_only"), {"steps": 6}),
        folder,
        method=SourceOnlySettings().build(context(network()), {}),
        accelerator=accelerator,
    )


def test_gradients_that_overflow_in_fp16_are_the_scalers_business(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves the step out and halves its factor; the run goes on."""
    spoil_gradient(monkeypatch)
    trainer = scaled(tmp_path)
    for step in range(BAD):
        trainer.update(iter([batch(step, slice(0, 2))]), step)
    before = {name: value.clone() for name, value in trainer.method.named_parameters()}
    trainer.update(iter([batch(BAD, slice(0, 2))]), BAD)
    assert trainer.guard.fault() is None
    assert all(torch.equal(value, before[name]) for name, value in trainer.method.named_parameters())
    assert trainer.accelerator.scaler.get_scale() == 2.0**15
    trainer.update(iter([batch(4, slice(0, 2))]), 4)
    assert not all(torch.equal(value, before[name]) for name, value in trainer.method.named_parameters())


def test_a_loss_that_is_not_finite_in_fp16_stops_the_run_and_the_scaler_is_as_before(tmp_path: Path) -> None:
    trainer = scaled(tmp_path)
    trainer.update(iter([batch(0, slice(0, 2))]), 0)
    before = {name: value.clone() for name, value in trainer.method.state_dict().items()}
    for step in (1, 2, 3):
        seen = batch(step, slice(0, 2))
        seen.source.image[0] *= math.nan if step == 1 else 1.0
        trainer.update(iter([seen]), step)
    fault = trainer.guard.fault()
    assert fault is not None and (fault.step, fault.wrong) == (1, [["source/segmentation"]])
    trainer.guard.undo()
    assert all(torch.equal(value, before[name]) for name, value in trainer.method.state_dict().items())
    assert trainer.accelerator.scaler.get_scale() == 2.0**16


def test_held_adamw_is_adamw_or_nothing() -> None:
    one, other = network(), network()
    plain = torch.optim.AdamW(one.parameters(), lr=0.1, fused=True)
    held = optim.adamw([{"params": list(other.parameters()), "lr": 0.1}], betas=(0.9, 0.999))
    held.held = torch.zeros(())
    for flag in (0.0, 1.0, 0.0):
        held.held.fill_(flag)
        for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
            mine.grad = torch.randn_like(mine)
            theirs.grad = mine.grad * (math.nan if flag else 1.0)
        held.step()
        if not flag:
            plain.step()
    assert all(map(torch.equal, one.parameters(), other.parameters()))
    states = (optimizer.state_dict()["state"] for optimizer in (plain, held))
    for left, right in zip(*(state.values() for state in states), strict=True):
        assert all(torch.equal(left[name], right[name]) for name in left)


def train_one_of_two(rank: int, settings: Experiment, folder: Path) -> None:
    """Only the second process meets the NaN; what each process ends with is written down."""
    if rank == 1:
        Loader.steps = spoilt("target")
    try:
        run(settings, folder)
        said = "finished"
    except ValueError as error:
        said = str(error)
    except SystemExit as end:
        said = f"left with {end.code}"
    (folder / f"said{rank}.txt").write_text(said)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="gloo over spawn is tested on POSIX systems")
def test_a_nan_of_one_process_stops_both_and_one_speaks(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    settings = wanted("daformer", tmp_path)
    on_two(train_one_of_two, settings, folder)
    said = (folder / "said0.txt").read_text()
    assert said.startswith(f"step {BAD}: not finite on process 1 of 2: segmentation of view target; ")
    assert f"step_{BAD:07d}_process_1.safetensors" in said
    assert (folder / "said1.txt").read_text() == "left with 2"
    assert [path.name for path in (folder / "not_finite").iterdir()] == [
        f"step_{BAD:07d}_process_1.safetensors"
    ]
    assert all(bool(value.isfinite().all()) for value in checkpoint(folder, BAD).values())
