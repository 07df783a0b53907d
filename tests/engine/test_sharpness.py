"""Sharpness-aware minimisation: official steps, exact restoring, and three whole iterations of SDAT's code."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from tests.methods.building import context
from tests.parity import numbers
from tests.tiny import tiny
from torch import Tensor, nn

from segue.engine.experiment import revise
from segue.engine.loop import Trainer
from segue.engine.optim import HeldSGD
from segue.engine.settings import SharpnessSettings
from segue.engine.sharpness import Sharpness
from segue.methods.aligned import Aligned, AlignedSettings
from segue.methods.terms.class_confusion import ClassConfusion, ClassConfusionSettings
from segue.methods.terms.conditional_adversarial import ConditionalAdversarial, ConditionalAdversarialSettings
from segue.models.classifier import Classifier
from segue.models.encoders.encoder import Encoder
from segue.models.heads.bottleneck import BottleneckHead
from segue.models.settings import NetworkSettings
from segue.types import Batch, Source, Target

SAM: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sgd": ({"radius": 0.05}, {"lr": 0.1, "momentum": 0.0}),
    "nesterov": ({"radius": 0.02}, {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}),
    "adaptive": (
        {"radius": 0.5, "adaptive": True},
        {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3},
    ),
}


@pytest.fixture(scope="module")
def official(fixtures_dir: Path) -> dict[str, Tensor]:
    return numbers(fixtures_dir, "smooth_adversarial")


def part(official: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in official.items() if name.startswith(prefix)}


@pytest.mark.parametrize("kind", list(SAM))
def test_steps_are_the_official_ones(official: dict[str, Tensor], kind: str) -> None:
    settings, options = SAM[kind]
    network = nn.Module()
    network.a, network.b = nn.Linear(4, 6), nn.Linear(6, 3)
    network.unused = nn.Parameter(torch.zeros(2))
    network.load_state_dict(part(official, "sam/init/"))
    parameters = list(network.parameters())
    sgd, sharpness = (
        HeldSGD([{"params": parameters}], fused=True, **options),
        Sharpness(SharpnessSettings(**settings)),
    )

    def loss() -> Tensor:
        return F.cross_entropy(network.b(network.a(official["sam/input"]).tanh()), official["sam/label"])

    for step in range(3):
        first = loss()
        first.backward()
        before = [parameter.detach().clone() for parameter in parameters]
        sharpness.ascend(parameters)
        if step == 0:
            for name, value in network.state_dict().items():
                assert torch.allclose(value, official[f"sam/{kind}/perturbed0/{name}"], atol=1e-6), name
            moved = torch.cat([(p - b).flatten() for p, b in zip(parameters, before, strict=True)])
            if kind != "adaptive":
                assert float(moved.detach().norm()) == pytest.approx(settings["radius"], rel=1e-4)
        sgd.zero_grad()
        second = loss()
        second.backward()
        sharpness.restore()
        assert all(torch.equal(p, b) for p, b in zip(parameters, before, strict=True))
        sgd.step()
        sgd.zero_grad()
        assert float(first.detach()) == pytest.approx(float(official[f"sam/{kind}/loss{step}"]), rel=1e-5)
        assert float(second.detach()) == pytest.approx(
            float(official[f"sam/{kind}/perturbed_loss{step}"]), rel=1e-5
        )
    for name, value in network.state_dict().items():
        assert torch.allclose(value, official[f"sam/{kind}/after2/{name}"], atol=1e-6), name


def test_on_a_parabola_the_gradient_is_that_of_the_raised_point() -> None:
    weight = nn.Parameter(torch.tensor([3.0]))
    sgd, sharpness = (
        HeldSGD([{"params": [weight]}], lr=0.1, momentum=0.0),
        Sharpness(SharpnessSettings(radius=0.5)),
    )
    (0.5 * weight.square()).sum().backward()
    sharpness.ascend([weight])
    sgd.zero_grad()
    (0.5 * weight.square()).sum().backward()
    sharpness.restore()
    sgd.step()
    assert float(weight.detach()) == pytest.approx(3.0 - 0.1 * 3.5)


class Line(Encoder):
    """The fixture's backbone: a linear layer on the first five numbers of a picture."""

    out_channels = (7,)

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(5, 7)

    def summary(self, image: Tensor) -> Tensor:
        return self.lin(image.flatten(1)[:, :5]).relu()[..., None, None]


def method(official: dict[str, Tensor]) -> Aligned:
    head = BottleneckHead((7,), 5, NetworkSettings(head="bottleneck", channels=4))
    student = Classifier(Line(), head)
    names = {"backbone.lin": "encoder.lin", "bottleneck": "head.bottleneck", "head": "head.classifier"}
    state = {
        next(
            ours + name.removeprefix(theirs) for theirs, ours in names.items() if name.startswith(theirs)
        ): value
        for name, value in part(official, "iteration/init/classifier/").items()
    }
    student.load_state_dict(state, strict=False)
    learns = {"channels": 4, "lr": 0.05}
    settings = ConditionalAdversarialSettings.model_validate({"discriminator": learns})
    adversary = ConditionalAdversarial(settings, num_classes=5, features=4)
    adversary.discriminator.load_state_dict(part(official, "iteration/init/discriminator/"), strict=False)
    confusion = ClassConfusion(ClassConfusionSettings(temperature=2.5))
    terms = {"conditional_adversarial": adversary, "class_confusion": confusion}
    return Aligned(AlignedSettings(together=True), context(student), terms)


def test_three_iterations_are_those_of_the_official_code(official: dict[str, Tensor], tmp_path: Path) -> None:
    """Losses of the second pass, weights, running statistics and rates: CDAN + MCC + SAM as SDAT's code has them."""
    wanted = revise(tiny("sdat"), {"optim": {"lr": 0.005, "head_factor": 10.0}})
    trainer = Trainer(wanted, tmp_path, method=method(official), accelerator=Accelerator(cpu=True))
    for step in range(3):
        source, target = (
            F.pad(official[f"iteration/{domain}"][step], (0, 1)).view(6, 3, 1, 2)
            for domain in ("source", "target")
        )
        label = official["iteration/label"][step].view(6, 1, 1)
        batch = Batch(Source(source, label, [""] * 6), Target(target, None, None, [""] * 6))
        values = trainer.update(iter([batch]), step)
        transfer = values["target/conditional_adversarial"] + values["target/class_confusion"]
        assert float(values["source/segmentation"]) == pytest.approx(
            float(official[f"iteration/{step}/cls_loss"]), rel=1e-4
        )
        assert float(transfer) == pytest.approx(float(official[f"iteration/{step}/transfer_loss"]), rel=1e-4)
    state = trainer.method.state_dict()
    names = {
        "classifier/backbone.lin": "student.encoder.lin",
        "classifier/bottleneck": "student.head.bottleneck",
        "classifier/head": "student.head.classifier",
        "discriminator/": "terms.conditional_adversarial.discriminator.",
    }
    for name, value in part(official, "iteration/after/").items():
        ours = next(
            own + name.removeprefix(theirs) for theirs, own in names.items() if name.startswith(theirs)
        )
        assert torch.allclose(state[ours], value, atol=2e-5), name
    trainer.optimisers.set_rates(3)
    rates = [group["lr"] for one in trainer.optimisers.by_name.values() for group in one.param_groups]
    expected = official["iteration/lr_after"].tolist()
    assert sorted(set(rates)) == pytest.approx(sorted(set(expected)))
