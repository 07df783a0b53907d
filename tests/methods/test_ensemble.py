"""EnD's loss equals the follow-up code; EnD²'s is a Dirichlet likelihood throughout; order is forgotten."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tests.methods.building import context
from tests.parity import numbers
from torch import Tensor, nn
from torch.distributions import Dirichlet

from segue.methods.soft_ensemble import (
    EnsembleDistillation,
    EnsembleDistillationSettings,
    annealed,
    smoothed_log_mean,
)
from segue.models.build import build_segmenter
from segue.ops.losses import dirichlet_nll, divergence
from segue.types import Batch, Source, Target


def test_the_divergence_equals_the_official_code(fixtures_dir: Path) -> None:
    stored = numbers(fixtures_dir, "end_student")
    target = stored["soft/target_percent"].float() / 100
    logits = stored["logits"].clone().requires_grad_()
    large = F.interpolate(logits, target.shape[-2:], mode="bilinear", align_corners=True)
    loss = divergence(large, target).mean()
    loss.backward()
    torch.testing.assert_close(loss.detach(), stored["soft/loss"], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(logits.grad, stored["soft/grad"], rtol=1e-3, atol=1e-8)


def test_a_student_like_the_mean_has_nothing_to_learn() -> None:
    logits = torch.randn(1, 4, 3, 3)
    assert divergence(logits, logits.softmax(1)).abs().max() < 1e-5
    assert (divergence(torch.randn(1, 4, 3, 3), logits.softmax(1)) > 0).all()


def test_the_likelihood_is_that_of_a_dirichlet_distribution() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 3, 3)
    samples = torch.rand(5, 2, 4, 3, 3).softmax(2)
    found = dirichlet_nll(logits, samples.log().mean(0))
    alpha = logits.exp().permute(0, 2, 3, 1)
    expected = -Dirichlet(alpha).log_prob(samples.permute(0, 1, 3, 4, 2)).mean(0)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def exact_gradient(logits: Tensor, mean_log: Tensor) -> Tensor:
    """By hand in float64: the concentration times what the Dirichlet's mean log lacks."""
    alpha = logits.double().exp()
    return alpha * (torch.digamma(alpha) - torch.digamma(alpha.sum(1, keepdim=True)) - mean_log)


@pytest.mark.parametrize("concentration", [-12.0, 0.0, 6.0, 12.0, 15.0, 18.0])
def test_agreeing_members_pull_in_the_right_direction(fixtures_dir: Path, concentration: float) -> None:
    """Nineteen classes, members nearly alike, a student near them: float32 lost 20 % at e^15 and all at e^18."""
    torch.manual_seed(0)
    stored = numbers(fixtures_dir, "end_student")["logits"]
    members = 4 * stored + 1e-3 * torch.randn(4, *stored.shape)
    mean_log = smoothed_log_mean(members, 1.0)
    exact = ((1 - 1e-3) * members.double().softmax(2) + 1e-3 / 19).log().mean(0)
    torch.testing.assert_close(mean_log, exact, rtol=1e-12, atol=0.0)
    student = (exact.log_softmax(1) + concentration).float().requires_grad_()
    loss = dirichlet_nll(student, mean_log)
    loss.sum().backward()
    assert loss.dtype == torch.float32
    expected = exact_gradient(student.detach(), exact)
    assert float((student.grad - expected).norm() / expected.norm()) < 1e-5


def test_unlikely_classes_are_pulled_back() -> None:
    """A logit far below zero keeps its gradient of minus one."""
    student = torch.tensor([3.0, -25.0]).view(1, 2, 1, 1).requires_grad_()
    dirichlet_nll(student, torch.tensor([-0.1, -2.0]).view(1, 2, 1, 1)).sum().backward()
    assert float(student.grad[0, 1]) == pytest.approx(-1.0, abs=1e-3)


def test_its_gradient_by_finite_differences() -> None:
    logits = torch.randn(1, 3, 1, 1, requires_grad=True)
    mean_log = torch.rand(4, 1, 3, 1, 1).softmax(2).log().mean(0)
    dirichlet_nll(logits, mean_log).sum().backward()
    for name in range(3):
        step = torch.zeros_like(logits)
        step[0, name] = 1e-2
        with torch.no_grad():
            up, down = (float(dirichlet_nll(logits + sign * step, mean_log)) for sign in (1, -1))
        assert (up - down) / 2e-2 == pytest.approx(float(logits.grad[0, name]), rel=2e-2, abs=1e-3)


def test_concentrations_are_recovered_from_samples() -> None:
    torch.manual_seed(0)
    truth = torch.tensor([2.0, 5.0, 1.0])
    mean_log = Dirichlet(truth).sample((20000,)).log().mean(0).view(1, 3, 1, 1)
    logits = torch.zeros(1, 3, 1, 1, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        dirichlet_nll(logits, mean_log).sum().backward()
        optimizer.step()
    torch.testing.assert_close(logits.detach().exp().flatten(), truth, rtol=0.05, atol=0.0)


def test_the_temperature_is_held_and_falls_to_one() -> None:
    assert [annealed(2.5, done) for done in (0.0, 0.25, 0.5, 0.75, 1.0)] == [2.5, 2.5, 1.75, 1.0, 1.0]


def distillation(student: nn.Module, members: list[nn.Module], kind: str) -> EnsembleDistillation:
    settings = EnsembleDistillationSettings(kind=kind)  # type: ignore[arg-type]
    return EnsembleDistillation(settings, context(student, steps=10), members, {})


@pytest.mark.parametrize("kind", ["mean", "distribution"])
def test_members_in_any_order_teach_the_same(kind: str) -> None:
    torch.manual_seed(0)
    networks = [build_segmenter("mit_nano", "segformer", num_classes=4, channels=8) for _ in range(3)]
    student = networks.pop().eval()
    image = torch.randn(1, 3, 64, 64)
    batch = Batch(
        Source(image, torch.zeros(1, 64, 64, dtype=torch.int64), [""]), Target(image, None, None, [""])
    )
    losses = []
    for members in (networks, networks[::-1]):
        method = distillation(student, members, kind)
        assert not [name for name, _ in method.named_parameters() if name.startswith("members")]
        (view,) = method.views(batch, 3)
        losses.append(method(view)["target/segmentation"])
    torch.testing.assert_close(losses[0], losses[1])
    if kind == "mean":
        alone = distillation(student, [student, student], kind)
        (view,) = alone.views(batch, 0)
        assert method(view)["target/segmentation"].abs() < 1e-5


def test_no_probability_is_without_a_bound() -> None:
    logits = torch.tensor([1e4, 0.0, 0.0]).view(1, 1, 3, 1, 1)
    assert torch.isfinite(smoothed_log_mean(logits, 1.0)).all()
