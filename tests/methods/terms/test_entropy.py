"""The entropy of predictions equals ADVENT's and FDA's code; pixels that are not the target's do not count."""

from pathlib import Path

import pytest
import torch
from tests.parity import numbers
from torch import Tensor, nn

from segue.methods.terms.entropy import Entropy, EntropySettings
from segue.ops.information import charbonnier, self_information
from segue.types import IGNORE, Output, View

Data = dict[str, Tensor]


@pytest.fixture(scope="module")
def official(fixtures_dir: Path) -> Data:
    return numbers(fixtures_dir, "entropy_maps")


def losses(logits: Tensor, view: View | None = None, **options: object) -> dict[str, Tensor]:
    term = Entropy(
        EntropySettings.model_validate({"share": 1.0, **options}),
        num_classes=logits.shape[1],
        auxiliary=False,
    )
    size = logits.shape[-2:]
    seen = view or View("target", torch.zeros(len(logits), 3, *size))
    return term(nn.Identity(), seen, Output(logits, [], logits, []))


def test_maps_and_their_mean(official: Data) -> None:
    probability = official["probabilities"]
    found = self_information(probability)
    assert torch.allclose(found[:1], official["self_information"], rtol=1e-5, atol=1e-7)
    assert float(found.sum(1).mean()) == pytest.approx(float(official["entropy_loss"]), rel=1e-6)
    one_hot, uniform = found.sum(1)[0, 0, :2]
    assert float(one_hot) == 0 and float(uniform) == pytest.approx(1)
    assert torch.equal(self_information(probability.flip(1)).flip(1), found) and bool((found >= 0).all())


def test_the_loss_of_logits_and_its_gradient(official: Data) -> None:
    logits = official["logits"].clone().requires_grad_()
    loss = losses(logits)["entropy"]
    assert float(loss.detach()) == pytest.approx(float(official["entropy_loss_of_logits"]), rel=1e-6)
    gradient = torch.autograd.grad(loss, logits)[0][:1]
    assert torch.allclose(gradient, official["entropy_grad_of_logits"], rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("eta", [1.0, 1.5, 2.0])
def test_fdas_form(official: Data, eta: float) -> None:
    """Its code rounds ln 19 to 2.9444."""
    found = losses(official["fda/logits"], eta=eta, resolution="head")["entropy"]
    assert float(found) == pytest.approx(float(official[f"fda/eta{eta}/loss"]), rel=1e-4)
    assert float(charbonnier(torch.ones(()), 2.0)) == pytest.approx(1)


def test_the_mean_is_over_target_pixels_with_content() -> None:
    """Half of the picture is pasted from the source, one more row is no content: the rest alone counts."""
    logits = torch.zeros(1, 3, 4, 4)
    logits[:, 0, 2:] = 50.0  # certain below
    pasted = torch.zeros(1, 4, 4, dtype=torch.bool)
    pasted[:, 2:] = True
    weight = torch.ones(1, 4, 4)
    image = torch.zeros(1, 3, 4, 4)
    assert float(losses(logits)["entropy"]) == pytest.approx(0.5)
    assert float(losses(logits, View("target", image, mix_mask=pasted))["entropy"]) == pytest.approx(1)
    weight[:, :2] = 0
    assert float(losses(logits, View("target", image, weight=weight))["entropy"]) == pytest.approx(0)
    assert float(losses(logits, View("target", image, weight=0 * weight))["entropy"]) == 0


def test_the_prior_asks_for_what_the_source_has() -> None:
    """Of three classes the source has 3/4 and 1/4, the target shows nothing but the first."""
    term = Entropy(EntropySettings(share=2.0, prior=0.5), num_classes=3, auxiliary=False)
    image = torch.zeros(1, 3, 2, 4)
    label = torch.tensor([[[0, 0, 0, IGNORE], [1, IGNORE, IGNORE, IGNORE]]])
    logits = torch.zeros(1, 3, 2, 4)
    logits[:, 0] = 50.0
    output = Output(logits, [], logits, [])
    assert term.view_names == ("source", "target")
    assert term(nn.Identity(), View("source", image, label), output) == {}
    found = term(nn.Identity(), View("target", image), output)
    assert float(found["class_prior"]) == pytest.approx(2.0 * 0.5 * 0.25)
