"""A term with an optimiser of its own: each side learns from its loss alone, at its rate, and resumes bit-equal."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tests.tiny import QUIET, assert_same_tensors, stopped_after_two_steps, tiny
from torch import Tensor, nn
from torch.func import functional_call

from segue.engine.loop import Trainer
from segue.engine.run import train
from segue.methods.context import Context
from segue.methods.method import Optimisation, Term, TermSettings
from segue.methods.terms import TERMS
from segue.methods.terms.confidence import ConfidenceSettings
from segue.types import Output, View


class TinyAdversary(Term):
    """The student makes target predictions look like the source's to a discriminator that tells them apart."""

    view_names = ("source", "target")

    def __init__(self, classes: int, share: float) -> None:
        super().__init__()
        self.share = share
        self.discriminator = nn.Conv2d(classes, 1, 1)

    def forward(self, network: nn.Module, view: View, output: Output) -> dict[str, Tensor]:
        maps = output.logits.float().softmax(1)
        domain = 0.0 if view.name == "source" else 1.0
        found = {"discriminator": self._cost(self.discriminator(maps.detach()), domain)}
        if view.name == "target":
            fixed = {name: value.detach() for name, value in self.discriminator.named_parameters()}
            fooled = functional_call(self.discriminator, fixed, (maps,))
            found["adversary"] = self.share * self._cost(fooled, 0.0)
        return found

    def optimisations(self) -> dict[str, Optimisation]:
        return {
            "discriminator": Optimisation(
                list(self.discriminator.parameters()),
                "adam",
                lr=1e-2,
                options={"betas": (0.9, 0.99)},
                schedule=lambda step, steps: 1 - step / steps,
            )
        }

    def _cost(self, logits: Tensor, domain: float) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, domain))


class AdversarySettings(TermSettings):
    share: float = 0.1

    def build(self, context: Context) -> TinyAdversary:
        return TinyAdversary(len(context.classes), self.share)


@pytest.fixture
def adversarial(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny term in the place of a known one: the table is all that names it."""
    monkeypatch.setattr(ConfidenceSettings, "build", lambda self, context: AdversarySettings().build(context))
    assert TERMS["confidence"] is ConfidenceSettings


def test_both_sides_gradients_equal_two_separate_backward_passes() -> None:
    torch.manual_seed(0)
    term, logits = TinyAdversary(3, 0.5), torch.randn(2, 3, 8, 8)
    view = View("target", torch.zeros(2, 3, 8, 8))

    def losses(leaf: Tensor) -> dict[str, Tensor]:
        return term(nn.Identity(), view, Output(leaf, [], leaf, []))

    together = logits.clone().requires_grad_()
    torch.stack(list(losses(together).values())).sum().backward()
    joint = [p.grad.clone() for p in term.parameters() if p.grad is not None]
    term.zero_grad()
    alone = logits.clone().requires_grad_()
    found = losses(alone)
    found["adversary"].backward()
    assert all(p.grad is None for p in term.parameters())
    found["discriminator"].backward()
    assert together.grad is not None and alone.grad is not None
    assert torch.equal(together.grad, alone.grad)
    assert all(torch.equal(a, p.grad) for a, p in zip(joint, term.parameters(), strict=True))


def test_it_learns_at_its_own_rate_and_goes_on_bit_equal(
    adversarial: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = tiny(
        "dacs", {"terms": {"confidence": {}}, "data": {"evaluation": None, "source_evaluation": None}}
    )
    rates: list[tuple[float, float]] = []
    update = Trainer.update

    def watched(self: Trainer, batches, step: int, painter=None):
        values = update(self, batches, step, painter)
        own = self.optimisers.by_name
        assert set(own) == {"optimizer", "optimizer.confidence.discriminator"}
        students = {id(p) for group in own["optimizer"].param_groups for p in group["params"]}
        adversary = own["optimizer.confidence.discriminator"].param_groups[0]
        assert not students & {id(p) for p in adversary["params"]}
        rates.append((adversary["lr"], own["optimizer"].param_groups[0]["lr"]))
        return values

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "update", watched)
        train(wanted, tmp_path / "whole", console=QUIET, cpu=True)
    assert [rate for rate, _ in rates] == pytest.approx([1e-2, 1e-2 * 2 / 3, 1e-2 / 3])

    with stopped_after_two_steps(monkeypatch):
        train(wanted, tmp_path / "broken", console=QUIET, cpu=True)
    train(wanted, tmp_path / "broken", console=QUIET, cpu=True)
    for name in ("method", "optimizer", "optimizer.confidence.discriminator"):
        file = f"checkpoints/0000003/{name}.safetensors"
        assert_same_tensors(tmp_path / "whole" / file, tmp_path / "broken" / file)
