"""Coordination lies in [0, 1], grows with time and agreement, is 0 where it must be; no gradient goes through it."""

import math

import pytest
import torch

from segue.methods.context import PAPER_STEPS
from segue.methods.coordination import Coordination, CoordinationSettings
from segue.methods.method import Method
from segue.ops.quality import agreement
from segue.types import IGNORE, Output, Supervised, View


def logits_of(label: torch.Tensor, classes: int = 4) -> torch.Tensor:
    return torch.nn.functional.one_hot(label, classes).permute(0, 3, 1, 2).float() * 5


def coordination(**options: object) -> Coordination:
    return Coordination(CoordinationSettings(**options), steps=PAPER_STEPS)  # type: ignore[arg-type]


@pytest.fixture
def label() -> torch.Tensor:
    return torch.randint(0, 4, (2, 8, 8), generator=torch.Generator().manual_seed(0))


def test_pseudo_accuracy_of_each_picture(label: torch.Tensor) -> None:
    logits = logits_of(label)
    wrong = label.clone()
    wrong[1, :4] = (wrong[1, :4] + 1) % 4
    assert agreement(logits, wrong).tolist() == [1.0, 0.5]
    wrong[1, :4] = IGNORE
    assert agreement(logits, wrong).tolist() == [1.0, 1.0]
    assert agreement(logits, torch.full_like(label, IGNORE)).tolist() == [0.0, 0.0]


def test_modes(label: torch.Tensor) -> None:
    logits = logits_of(label)
    half = label.clone()
    half[:, :4] = (half[:, :4] + 1) % 4
    grown = 1 - math.exp(-0.001 * 1000)
    expected = {"coordinated": 0.5 * grown, "accuracy": 0.5, "time": grown, "none": 1.0, "threshold": 0.0}
    for mode, value in expected.items():
        found = coordination(alpha=0.001, mode=mode, threshold=0.6).at(1000)(logits, half)
        assert found.shape == (2,)
        assert found.tolist() == pytest.approx([value, value]), mode
    assert coordination(mode="threshold", threshold=0.5).at(0)(logits, half).tolist() == [1.0, 1.0]


def test_over_time_and_agreement(label: torch.Tensor) -> None:
    logits = logits_of(label)
    over_time = [
        float(coordination(alpha=2e-4).at(step)(logits, label)[0]) for step in (0, 5000, 10000, 20000)
    ]
    assert over_time[0] == 0
    assert over_time == pytest.approx([0, 0.632, 0.865, 0.982], abs=1e-3)
    assert not coordination(alpha=0.0).at(40000)(logits, label).any()


class Fixed(torch.nn.Module):
    """A student with one parameter: its logits."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(logits)

    def forward(self, image: torch.Tensor) -> Output:
        return Output(self.logits, [], self.logits, [Supervised(self.logits)])


def test_trust_scales_each_picture_s_loss_and_passes_no_gradient(label: torch.Tensor) -> None:
    student = Fixed(torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1)))
    method = Method(student, view_names=("target",))
    image = torch.zeros(2, 3, 8, 8)
    trust = coordination(alpha=0.01).at(100)(student.logits.detach(), label)
    per_picture = torch.nn.functional.cross_entropy(student.logits, label, reduction="none").mean((1, 2))
    view = View("target", image, label, torch.ones(2, 8, 8), trust=coordination(alpha=0.01).at(100))
    loss = method(view)["target/segmentation"]
    assert torch.allclose(loss, (trust * per_picture).mean())
    mine = torch.autograd.grad(loss, student.logits)[0]
    expected = torch.autograd.grad((trust.detach() * per_picture).mean(), student.logits)[0]
    assert torch.allclose(mine, expected, atol=1e-7)


def test_distrusted_margins_do_not_count(label: torch.Tensor) -> None:
    student = Fixed(logits_of(label))
    wrong = label.clone()
    wrong[:, 6:] = (wrong[:, 6:] + 1) % 4
    weight = torch.ones(2, 8, 8)
    weight[:, 6:] = 0
    view = View("target", torch.zeros(2, 3, 8, 8), wrong, weight, trust=coordination(mode="accuracy").at(0))
    Method(student, view_names=("target",))(view)
    assert view.weight is not None and view.weight[:, :6].eq(1).all() and view.weight[:, 6:].eq(0).all()
