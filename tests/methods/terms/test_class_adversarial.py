"""FADA: losses and gradients of both sides are the official ones, and each loss moves its own side alone."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tests.methods.building import context
from tests.parity import numbers
from torch import Tensor, nn

from segue.methods.aligned import AlignedSettings
from segue.methods.terms.class_adversarial import ClassAdversarial, ClassAdversarialSettings
from segue.models.segmenter import segmentation_loss
from segue.types import Batch, Output, Source, Supervised, Target, View

LAYERS = {"D.0": "layers.0", "D.2": "layers.2", "cls1": "source", "cls2": "target"}
SIZE = (14, 18)


@pytest.fixture(scope="module")
def official(fixtures_dir: Path) -> dict[str, Tensor]:
    return numbers(fixtures_dir, "fada_step")


def term(official: dict[str, Tensor]) -> ClassAdversarial:
    built = ClassAdversarial(ClassAdversarialSettings(channels=(6, 3)), in_channels=6, num_classes=5)
    state = {
        f"{ours}.{kind}": official[f"discriminator/{theirs}.{kind}"]
        for theirs, ours in LAYERS.items()
        for kind in ("weight", "bias")
    }
    built.judge.load_state_dict(state)
    return built


def output(official: dict[str, Tensor], domain: str) -> Output:
    """The official classifier's prediction, enlarged corner on corner as there."""
    features = official[f"{domain}_feature"].clone().requires_grad_()
    logits = F.conv2d(features, official["classifier/weight"], official["classifier/bias"])
    logits = F.interpolate(logits, SIZE, mode="bilinear", align_corners=True)
    return Output(logits, [features], features, [Supervised(logits)])


def test_losses_and_gradients_are_the_official_ones(official: dict[str, Tensor]) -> None:
    adversary, image = term(official), torch.zeros(2, 3, *SIZE)
    source, target = output(official, "source"), output(official, "target")
    on_source = adversary(nn.Identity(), View("source", image), source)
    on_target = adversary(nn.Identity(), View("target", image), target)
    found = {
        "d_source": on_source["class_discriminator"],
        "d_target": on_target["class_discriminator"],
        "adversarial": on_target["class_adversarial"],
    }
    for name, loss in found.items():
        assert float(loss.detach()) == pytest.approx(float(official[f"loss_{name}"]), rel=1e-5)
    assert torch.allclose(adversary.soft_label(source.logits, SIZE), official["source_soft_label"], atol=1e-6)
    (slope,) = torch.autograd.grad(found["adversarial"], target.embedding)
    assert torch.allclose(slope, official["grad_target_feature"], rtol=1e-4, atol=1e-9)
    (found["d_source"] + found["d_target"]).backward()
    assert source.embedding.grad is None and target.embedding.grad is None
    for theirs, ours in LAYERS.items():
        for kind in ("weight", "bias"):
            own = adversary.judge.get_parameter(f"{ours}.{kind}").grad
            assert own is not None
            wanted = official[f"discriminator_grad/{theirs}.{kind}"]
            assert torch.allclose(own, wanted, rtol=1e-4, atol=1e-7), theirs


def test_the_sources_own_loss_is_tempered(official: dict[str, Tensor]) -> None:
    image, label = torch.zeros(2, 3, *SIZE), official["label"].long()
    adversary = term(official)
    method = AlignedSettings(temperature=1.8).build(context(nn.Identity(), classes=5), {"fada": adversary})
    batch = Batch(Source(image, label, ["", ""]), Target(image, None, None, ["", ""]))
    view = next(iter(method.views(batch, 0)))
    assert isinstance(view, View)
    seen = output(official, "source")
    loss = segmentation_loss(seen, view)
    assert float(loss.detach()) == pytest.approx(float(official["loss_segmentation"]), rel=1e-5)
    (slope,) = torch.autograd.grad(loss, seen.embedding)
    assert torch.allclose(slope, official["grad_source_feature"], rtol=1e-4, atol=1e-8)


def test_the_student_does_not_move_the_discriminator(official: dict[str, Tensor]) -> None:
    adversary, seen = term(official), output(official, "target")
    found = adversary(nn.Identity(), View("target", torch.zeros(2, 3, *SIZE)), seen)
    found["class_adversarial"].backward()
    assert all(parameter.grad is None for parameter in adversary.parameters())
    assert seen.embedding.grad is not None and seen.embedding.grad.any()
