"""Training on offline labels: class weights, hard pixels and CRST's regulariser equal the official code."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from segue.methods.offline import ClassWeights, OfflineTraining, labelled_loss
from segue.methods.terms.confidence import ConfidenceRegularizer
from segue.models.build import build_segmenter
from segue.ops.balance import hardest
from segue.ops.losses import cross_entropy
from segue.types import IGNORE, Batch, Output, Source, Supervised, Target, View


@pytest.fixture(scope="module")
def student(fixtures_dir: Path) -> dict[str, Tensor]:
    return load_file(fixtures_dir / "end_student.safetensors")


@pytest.fixture(scope="module")
def crst(fixtures_dir: Path) -> dict[str, Tensor]:
    return load_file(fixtures_dir / "crst_loss.safetensors")


# The official student is trained on 512 x 256 crops; "small" is 64 * 64 pixels a picture of any size there.
SMALL = 64 * 64 / (72 * 96)


@pytest.mark.parametrize(("often", "momentum"), [(1, 0.9), (0, 1.0)])
def test_class_weights_over_three_batches(student: dict[str, Tensor], often: int, momentum: float) -> None:
    weights = ClassWeights(19, small=SMALL, momentum=momentum)
    for number in range(3):
        found = weights(student[f"label{number}"].long())
        torch.testing.assert_close(found, student[f"class_weight/often_{often}/after{number}"])


@pytest.mark.parametrize(
    ("case", "balanced", "percentile"),
    [
        ("plain", False, 0.0),
        ("balanced", True, 0.0),
        ("hard80", False, 80.0),
        ("balanced_hard80", True, 80.0),
        ("balanced_hard50", True, 50.0),
    ],
)
def test_the_students_loss(student: dict[str, Tensor], case: str, balanced: bool, percentile: float) -> None:
    logits, label = student["logits"].clone().requires_grad_(), student["label0"].long()
    large = F.interpolate(logits, label.shape[-2:], mode="bilinear", align_corners=True)
    weights = ClassWeights(19, small=SMALL)(label) if balanced else None
    loss = labelled_loss(large, label, weights, percentile).mean()
    loss.backward()
    torch.testing.assert_close(loss.detach(), student[f"{case}/loss"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(logits.grad, student[f"{case}/grad"], rtol=1e-3, atol=1e-7)
    if f"{case}/kept_label" in student:
        with torch.no_grad():
            pixels = cross_entropy(large, label)
            if weights is not None:
                pixels = pixels * weights[label.clamp(max=18)]
            kept = hardest(pixels, label, percentile=percentile)
        assert torch.equal(kept.to(torch.uint8), student[f"{case}/kept_label"])


def test_nothing_labelled_costs_nothing() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    label = torch.full((1, 4, 4), IGNORE)
    loss = labelled_loss(logits, label, None, 80.0).mean()
    loss.backward()
    assert loss == 0 and torch.isfinite(logits.grad).all()


def confidence(logits: Tensor, label: Tensor, share: float) -> Tensor:
    output = Output(logits, [], logits, [Supervised(logits)])
    view = View("target", torch.zeros(len(label), 3, *label.shape[1:]), label)
    return ConfidenceRegularizer(share=share)(nn.Identity(), view, output)["confidence"]


def test_the_regulariser_is_the_published_formula_up_to_a_constant(crst: dict[str, Tensor]) -> None:
    """hard/once less hard/off is the regulariser alone; hard/released has its share squared."""
    logits, label = crst["logits"], crst["label"].long()
    target = crst["is_target"].bool()
    for case, share in (("once", 0.1), ("released", 0.01)):
        ours = logits[target].clone().requires_grad_()
        loss = confidence(ours, label[target], share)
        loss.backward()
        theirs = crst[f"hard/{case}/f32/loss"] - crst["hard/off/f32/loss"]
        constant = share * torch.log(torch.tensor(19.0))
        torch.testing.assert_close(loss.detach() + constant, theirs, rtol=1e-4, atol=1e-5)
        gradient = crst[f"hard/{case}/f32/grad"] - crst["hard/off/f32/grad"]
        torch.testing.assert_close(ours.grad, gradient[target], rtol=1e-3, atol=1e-7)
        assert gradient[~target].abs().max() == 0


def test_the_regulariser_is_least_for_a_uniform_prediction() -> None:
    label = torch.randint(0, 4, (1, 3, 3))
    uniform = torch.zeros(1, 4, 3, 3, requires_grad=True)
    loss = confidence(uniform, label, 1.0)
    loss.backward()
    assert loss.detach().abs() < 1e-6 and uniform.grad.abs().max() < 1e-7
    other = torch.randn(1, 4, 3, 3, requires_grad=True)
    found = confidence(other, label, 1.0)
    found.backward()
    assert found > 0
    # Its gradient is the probability less one over K.
    torch.testing.assert_close(other.grad * 9, other.detach().softmax(1) - 0.25)


@pytest.mark.parametrize("source", [True, False])
def test_views_and_what_is_learnt(source: bool) -> None:
    torch.manual_seed(0)
    network = build_segmenter("mit_nano", "segformer", num_classes=4, channels=8)
    method = OfflineTraining(network, {"confidence": ConfidenceRegularizer()}, source=source)
    image, label = torch.randn(1, 3, 64, 64), torch.randint(0, 4, (1, 64, 64))
    valid = torch.ones(1, 64, 64, dtype=torch.bool)
    valid[:, :32] = False
    batch = Batch(Source(image, label, [""]), Target(image, valid, label, [""]))
    seen = list(method.views(batch, 0))
    assert (
        tuple(view.name for view in seen)
        == method.view_names
        == (("source",) if source else ()) + ("target",)
    )
    assert (seen[-1].label[:, :32] == IGNORE).all()
    losses = method(seen[-1])
    assert set(losses) == {"target/segmentation", "target/confidence"}
    # The mean is over the labelled half alone.
    network.eval()
    with torch.no_grad():
        logits = F.interpolate(network(image).logits, (64, 64), mode="bilinear")
        expected = F.cross_entropy(logits, seen[-1].label, ignore_index=IGNORE)
        found = method(View("target", image, seen[-1].label, loss=seen[-1].loss))["target/segmentation"]
    torch.testing.assert_close(found, expected)
