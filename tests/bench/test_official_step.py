"""The step that ours is timed against computes the same: losses of two updates, gradients, weights, teacher."""

import pytest
import torch

from segue.bench.against_official import (
    PHASES,
    TWO_RESOLUTIONS,
    head_rows,
    memory_rows,
    our_step,
    step_rows,
)
from segue.bench.official_step import OfficialStep
from segue.bench.step import noise_batch, self_training
from segue.bench.stopwatch import Stopwatch
from segue.engine import optim

CPU = torch.device("cpu")


@pytest.fixture(params=["daformer", "hrda", "mic"])
def ready(request: pytest.FixtureRequest):
    torch.manual_seed(0)
    size = 64 if request.param == "daformer" else 128  # of which others see halves and windows
    method = self_training(request.param, "mit_nano", size=size).train()
    # Some pixels have to be trusted for the weight to be seen.
    method.threshold = 0.06
    return method, noise_batch(2, size, CPU)


@pytest.mark.slow
def test_losses_and_gradients(ready) -> None:
    method, data = ready
    plain = OfficialStep(method, lr=None)
    torch.manual_seed(1)
    theirs = plain(data, 0, Stopwatch(CPU))
    torch.manual_seed(1)
    mine = our_step(method, None, data, 0, Stopwatch(CPU))
    assert mine.keys() == theirs.keys()
    assert mine["source/feature_distance"] > 0
    for name, value in theirs.items():
        assert mine[name] == pytest.approx(value, rel=2e-5), name
    others = dict(plain.student.network.named_parameters())
    for name, parameter in method.student.named_parameters():
        gradient = others[name].grad
        assert gradient is not None and parameter.grad is not None
        assert float((parameter.grad - gradient).norm()) <= 2e-3 * float(gradient.norm()) + 1e-6, name


@pytest.mark.slow
def test_two_updates(ready) -> None:
    method, data = ready
    plain = OfficialStep(method)
    optimizer = optim.adamw(
        optim.parameter_groups(method, lr=6e-5, head_factor=10.0, weight_decay=0.01), betas=(0.9, 0.999)
    )
    for step in range(2):
        torch.manual_seed(step)
        theirs = plain(data, step, Stopwatch(CPU))
        torch.manual_seed(step)
        mine = our_step(method, optimizer, data, step, Stopwatch(CPU))
        for name, value in theirs.items():
            assert mine[name] == pytest.approx(value, rel=2e-3), (step, name)
    for own, other in ((method.student, plain.student), (method.teacher.network, plain.teacher)):
        others = dict(other.network.named_parameters())
        for name, parameter in own.named_parameters():
            # AdamW's first updates are the sign of the gradient, however small: mostly equal, at worst opposite.
            rate = 6e-4 if "head" in name else 6e-5
            difference = (parameter - others[name]).detach().abs()
            assert float(difference.max()) <= 4 * rate, name
            assert float(difference.median()) < 0.05 * rate, name


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "phases"), [("daformer", PHASES), ("mic", TWO_RESOLUTIONS)])
def test_rows_name_every_phase_and_say_how_far_turns_differ(recipe: str, phases: tuple[str, ...]) -> None:
    rows = {
        row["name"].removeprefix(f"{recipe}_mit_nano_"): row
        for row in step_rows(recipe, encoder="mit_nano", size=64, batch=1, repeats=2, device="cpu")
    }
    assert list(rows) == [*phases, "rest", "step"]
    parts = sum(row["value"] for name, row in rows.items() if name != "step")
    assert parts == pytest.approx(
        rows["step"]["value"], rel=0.2
    )  # medians of two turns do not add up exactly
    low, high = rows["step"]["spread"]
    assert 0 < low <= rows["step"]["ratio"] * 1.001 and rows["step"]["ratio"] <= high * 1.001


@pytest.mark.slow
def test_the_peak_of_updates_is_measured_for_both() -> None:
    (row,) = memory_rows("mic", encoder="mit_nano", size=64, batch=1)
    assert row["name"] == "mic_mit_nano_peak_memory" and row["unit"] == "MiB"
    assert 100 < row["value"] < 4000 and 100 < row["peer_value"] < 4000


def test_rows_of_the_head() -> None:
    rows = head_rows(encoder="mit_nano", size=64, batch=1, repeats=1, device="cpu")
    kinds = [row["name"].removeprefix("head_mit_nano_") for row in rows]
    assert kinds == ["train", "train_bf16", "teacher"]
    assert all(row["value"] > 0 and row["peer_value"] > 0 for row in rows)
