"""APODA: changes stay within the radius, and deceive discriminator and classifier; a radius of 0 changes nothing."""

import pytest
import torch
import torch.nn.functional as F
from tests.tiny import tiny
from torch import Tensor, nn

from segue.engine.build import build_method, build_student
from segue.methods.adversary import TARGET
from segue.methods.terms.point_perturbation import PointPerturbation, PointPerturbationSettings
from segue.models.build import build_segmenter
from segue.models.segmenter import Segmenter, segmentation_loss
from segue.types import View


def term(channels: int, step: int = 50, **options: object) -> PointPerturbation:
    torch.manual_seed(0)
    built = PointPerturbation(
        PointPerturbationSettings.model_validate(options), in_channels=channels, steps=100
    )
    built.step = step
    return built


def student() -> Segmenter:
    torch.manual_seed(1)
    return build_segmenter("mit_nano", "segformer", num_classes=4, channels=8, dropout=0.0, drop_path=0.0)


def test_changes_stay_within_the_radius_and_deceive_both() -> None:
    """Linear problem: a classifier of points, whose cross-entropy grows, and a discriminator that is led astray."""
    perturbation = term(6, radius=0.3)
    generator = torch.Generator().manual_seed(3)
    points = torch.randn(2, 6, 4, 5, generator=generator)
    label = torch.randint(0, 3, (2, 4, 5), generator=generator)
    classifier = nn.Conv2d(6, 3, 1)

    def doubt(changed: Tensor) -> Tensor:
        return F.cross_entropy(classifier(changed), label)

    change = perturbation.change(points, TARGET, doubt)
    radius = 0.3 * points.norm(dim=1).mean()
    assert not change.requires_grad
    assert float(change.norm(dim=1).max()) <= float(radius) * (1 + 1e-5)
    with torch.no_grad():
        assert float(doubt(points + change)) > float(doubt(points))
        said = perturbation.judge(points + change) - perturbation.judge(points)
        assert float(said.mean()) > 0  # more like the target


@pytest.mark.parametrize("name", ["source", "target"])
def test_a_radius_of_0_changes_nothing(name: str) -> None:
    network = student()
    image = torch.randn(2, 3, 64, 64)
    label = torch.randint(0, 4, (2, 64, 64)) if name == "source" else None
    view, output = View(name, image, label), network(image)
    found = term(network.encoder.out_channels[-1], radius=0.0)(network, view, output)
    if name == "source":
        assert torch.allclose(found["perturbed"], segmentation_loss(output, view))
    else:
        assert float(found["consistency"].detach()) == pytest.approx(0, abs=1e-6)


def test_each_loss_moves_its_own_side_and_statistics_stay() -> None:
    network = student()
    image = torch.randn(2, 3, 64, 64)
    output = network(image)
    before = {name: value.clone() for name, value in network.named_buffers()}
    perturbation = term(network.encoder.out_channels[-1])
    found = perturbation(network, View("target", image), output)
    assert all(parameter.grad is None for parameter in network.parameters())  # finding changes leaves none
    found["consistency"].backward(retain_graph=True)
    assert all(p.grad is None for p in perturbation.judge.parameters())
    assert any(p.grad is not None and p.grad.any() for p in network.encoder.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())
    network.zero_grad()
    found["point_discriminator"].backward()
    assert all(p.grad is None or not p.grad.any() for p in network.parameters())
    waiting = term(network.encoder.out_channels[-1], step=0)
    assert float(waiting(network, View("target", image), output)["consistency"].detach()) == 0


def test_two_resolutions_are_refused() -> None:
    wanted = tiny("hrda", {"terms": {"point_perturbation": {}}})
    with pytest.raises(ValueError, match=r"set network\.multi_resolution=null"):
        build_method(wanted, build_student(wanted))
