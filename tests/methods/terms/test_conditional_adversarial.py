"""CDAN: loss and gradients of both sides are the official ones; no gradient reaches the logits."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.parity import numbers
from tests.tiny import tiny
from torch import Tensor, nn

from segue.engine.build import build_method, build_student
from segue.methods.terms.conditional_adversarial import ConditionalAdversarial, ConditionalAdversarialSettings
from segue.recipes.catalogue import experiment
from segue.recipes.classification_pairs import STREET_OBJECTS
from segue.recipes.pairs import STREET_SCENES
from segue.types import Batch, Output, Source, Target, View

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "entropy": {"entropy": True},
    "randomised": {"randomised": 16},
}


@pytest.fixture(scope="module")
def official(fixtures_dir: Path) -> dict[str, Tensor]:
    return numbers(fixtures_dir, "smooth_adversarial")


def term(official: dict[str, Tensor], variant: str) -> ConditionalAdversarial:
    settings = ConditionalAdversarialSettings.model_validate(
        {**VARIANTS[variant], "discriminator": {"channels": 4}}
    )
    built = ConditionalAdversarial(settings, num_classes=5, features=6)
    prefix = "cdan/discriminator_randomised/" if variant == "randomised" else "cdan/discriminator/"
    own = {name.removeprefix(prefix): value for name, value in official.items() if name.startswith(prefix)}
    built.discriminator.load_state_dict(own, strict=False)
    if variant == "randomised":
        built.of_features.copy_(official["cdan/random_feature_matrix"])
        built.of_classes.copy_(official["cdan/random_class_matrix"])
    built.step = 300
    return built


def output(official: dict[str, Tensor], domain: str) -> Output:
    logits, features = (
        official[f"cdan/{kind}_{domain}"].clone().requires_grad_()[..., None, None]
        for kind in ("logits", "feature")
    )
    return Output(logits, [features], features, [])


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_loss_and_gradients_are_the_official_ones(official: dict[str, Tensor], variant: str) -> None:
    cdan, image = term(official, variant), torch.zeros(8, 3, 4, 4)
    source, target = output(official, "source"), output(official, "target")
    assert cdan(nn.Identity(), View("source", image), source) == {}
    loss = cdan(nn.Identity(), View("target", image), target)["conditional_adversarial"]
    assert float(loss.detach()) == pytest.approx(float(official[f"cdan/{variant}/loss"]), rel=1e-5)
    wanted = [source.embedding, target.embedding, source.logits, target.logits]
    one, other, *none = torch.autograd.grad(loss, wanted, retain_graph=True, allow_unused=True)
    assert torch.allclose(one.flatten(1), official[f"cdan/{variant}/grad_feature_source"], atol=1e-7)
    assert torch.allclose(other.flatten(1), official[f"cdan/{variant}/grad_feature_target"], atol=1e-7)
    assert none == [None, None]
    if variant == "plain":
        loss.backward()
        for name, parameter in cdan.discriminator.named_parameters():
            assert torch.allclose(
                parameter.grad, official[f"cdan/plain/discriminator_grad/{name}"], atol=1e-6
            )  # pyright: ignore


def test_the_first_pass_of_a_smoothed_step_leaves_the_discriminator_alone() -> None:
    """While the student ascends there is no adversarial loss, and no norm of the discriminator moves."""
    torch.manual_seed(0)
    method = build_method(tiny("sdat"), build_student(tiny("sdat")))
    image, label = torch.randn(4, 3, 32, 32), torch.randint(0, 8, (4, 1, 1))
    batch = Batch(Source(image, label, [""] * 4), Target(image.flip(0), None, None, [""] * 4))
    method.is_ascending = True
    losses = {name: loss for seen in method.views(batch, 0) for name, loss in method(seen).items()}
    assert set(losses) == {"source/segmentation", "target/class_confusion"}
    torch.stack(list(losses.values())).sum().backward()
    own = method.terms["conditional_adversarial"]
    assert all(parameter.grad is None for parameter in own.parameters())
    assert all(not buffer.any() for name, buffer in own.named_buffers() if name.endswith("tracked"))


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"set method\.name=aligned and method\.together=true"):
        experiment("cdan", STREET_OBJECTS, {"method": {"together": False}})
    with pytest.raises(ValueError, match=r"method\.mix needs a class for each pixel.*set method\.mix=null"):
        experiment("clda_cls", STREET_OBJECTS, {"method": {"mix": "class_mix"}})
    with pytest.raises(ValueError, match=r"names each pixel.*choose network\.head=bottleneck"):
        experiment("cdan", STREET_OBJECTS, {"network": {"head": "segformer"}})
    with pytest.raises(ValueError, match="take at least 2"):
        experiment("mcc", STREET_OBJECTS, {"data": {"batch": 1}})
    with pytest.raises(ValueError, match=r"optim\.sharpness: gradients in fp16.*bf16"):
        experiment("sdat", STREET_OBJECTS, {"run": {"precision": "fp16"}})
    with pytest.raises(
        ValueError, match=r"evaluation: pictures of street_objects and street_scenes are not labelled"
    ):
        experiment("mcc", STREET_OBJECTS, {"data": {"evaluation": {"dataset": "street_scenes"}}})
    with pytest.raises(ValueError, match="choose one of the recipes for classification"):
        experiment("cbst", STREET_OBJECTS)
    wanted = experiment("cdan", STREET_SCENES)
    with pytest.raises(ValueError, match="compares pictures that have one class each"):
        build_method(wanted, build_student(wanted))
