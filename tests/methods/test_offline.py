"""Training on offline labels: class weights, hard pixels, CRST's losses on mixed batches and soft labels equal the
official code; frozen statistics stay. Other methods weigh the classes of each view, too."""

from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from tests.methods.building import context, offline, self_training
from tests.methods.test_style import Bright
from tests.parity import numbers
from torch import Tensor, nn

from segue.methods.class_weights import ClassWeightSettings
from segue.methods.method import Method
from segue.methods.offline import labelled_loss
from segue.methods.several_views import SeveralViewsSettings
from segue.methods.source_only import SourceOnlySettings
from segue.methods.terms.confidence import ConfidenceRegularizer, ConfidenceSettings
from segue.models.build import build_segmenter
from segue.ops.balance import hardest
from segue.ops.losses import cross_entropy
from segue.types import IGNORE, Batch, Output, Source, Supervised, Target, View


@pytest.fixture(scope="module")
def student(fixtures_dir: Path) -> dict[str, Tensor]:
    return numbers(fixtures_dir, "end_student")


@pytest.fixture(scope="module")
def crst(fixtures_dir: Path) -> dict[str, Tensor]:
    return numbers(fixtures_dir, "crst_loss")


# The official student is trained on 512 x 256 crops; "small" is 64 * 64 pixels a picture of any size there.
SMALL = 64 * 64 / (72 * 96)


@pytest.mark.parametrize(("often", "momentum"), [(1, 0.9), (0, 1.0)])
def test_class_weights_over_three_batches(student: dict[str, Tensor], often: int, momentum: float) -> None:
    weights = ClassWeightSettings(small=SMALL, momentum=momentum).build(19)
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
    weights = ClassWeightSettings(small=SMALL).build(19)(label) if balanced else None
    loss = labelled_loss(large, label, weights=weights, percentile=percentile).mean()
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
    loss = labelled_loss(logits, label, weights=None, percentile=80.0).mean()
    loss.backward()
    assert loss == 0 and torch.isfinite(logits.grad).all()


def confidence(
    logits: Tensor,
    label: Tensor,
    share: float,
    kind: Literal["divergence", "entropy", "squares"] = "divergence",
) -> Tensor:
    output = Output(logits, [], logits, [Supervised(logits)])
    view = View("target", torch.zeros(len(label), 3, *label.shape[1:]), label)
    return ConfidenceRegularizer(ConfidenceSettings(share=share, kind=kind))(nn.Identity(), view, output)[
        "confidence"
    ]


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


@pytest.mark.parametrize("kind", ["entropy", "squares"])
def test_the_other_regularisers(kind: Literal["entropy", "squares"]) -> None:
    """MRENT is the negative entropy and MRL2 the sum of squares, both 0 for a uniform prediction."""
    torch.manual_seed(0)
    logits, label = torch.randn(2, 4, 3, 3), torch.randint(0, 4, (2, 3, 3))
    label[0] = IGNORE
    p = logits[1].softmax(0)
    expected = {
        "entropy": torch.log(torch.tensor(4.0))
        - torch.distributions.Categorical(p.permute(1, 2, 0)).entropy(),
        "squares": (p * p).sum(0) - 0.25,
    }[kind]
    torch.testing.assert_close(confidence(logits, label, 2.0, kind), 2 * expected.mean())
    assert confidence(torch.zeros(2, 4, 3, 3), label, 1.0, kind).abs() < 1e-6


class Given(nn.Module):
    """A student that predicts what it is given."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, image: Tensor) -> Output:
        return Output(self.logits, [], self.logits, [Supervised(self.logits)])


def mixed(crst: dict[str, Tensor]) -> tuple[Batch, Tensor]:
    """The fixture's batch as the loader gives it, and the order of its pictures there."""
    target = crst["is_target"].bool()
    label, soft = crst["label"].long(), crst["soft_label"]
    image = torch.zeros(len(label), 3, *label.shape[1:])
    batch = Batch(
        Source(image[~target], label[~target], ["", ""]),
        Target(image[target], None, label[target], ["", ""], soft[target]),
    )
    return batch, torch.cat([(~target).nonzero(), target.nonzero()]).flatten()


@pytest.mark.parametrize("case", ["hard/once", "hard/off", "soft/released"])
def test_a_mixed_batch_costs_what_the_official_code_says(crst: dict[str, Tensor], case: str) -> None:
    """One mean over the labelled pixels of both domains, the regulariser over the target's; hard and soft labels.

    The fixture's soft labels of source pictures are taken as they are, so that they can be compared.
    """
    batch, order = mixed(crst)
    assert batch.target is not None
    if case.startswith("hard"):
        batch.target.soft = None
    method = offline(
        Given(crst["logits"][order]),
        {"confidence": ConfidenceRegularizer(ConfidenceSettings())} if case == "hard/once" else {},
        source=True,
    )
    (view,) = method.views(batch, 0)
    if case.startswith("soft"):
        assert isinstance(view, View) and view.soft is not None and view.label is not None
        hot = F.one_hot(batch.source.label.clamp(max=18), 19).permute(0, 3, 1, 2).float()
        hot = hot * (batch.source.label != IGNORE)[:, None]
        assert torch.equal(view.soft[:2], hot)
        view.soft = crst["soft_label"][order]
        assert torch.equal(view.label == IGNORE, view.soft.sum(1) == 0)
    loss = torch.stack(list(method(view).values())).sum()
    loss.backward()
    constant = 0.1 * torch.log(torch.tensor(19.0)) if case == "hard/once" else 0.0
    torch.testing.assert_close(loss.detach() + constant, crst[f"{case}/f32/loss"], rtol=1e-5, atol=1e-6)
    assert isinstance(method.student, Given)
    expected = crst[f"{case}/f32/grad"][order]
    torch.testing.assert_close(method.student.logits.grad, expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("source", [True, False])
def test_views_and_what_is_learnt(source: bool) -> None:
    torch.manual_seed(0)
    network = build_segmenter("mit_nano", "segformer", num_classes=4, channels=8)
    method = offline(network, {"confidence": ConfidenceRegularizer(ConfidenceSettings())}, source=source)
    image, label = torch.randn(1, 3, 64, 64), torch.randint(0, 4, (1, 64, 64))
    valid = torch.ones(1, 64, 64, dtype=torch.bool)
    valid[:, :32] = False
    batch = Batch(Source(image.flip(3), label.flip(2), [""]), Target(image, valid, label, [""]))
    (view,) = method.views(batch, 0)
    assert isinstance(view, View) and view.label is not None
    assert (view.name,) == method.view_names and len(view.image) == len(view.label) == 1 + source
    assert (view.label[-1:, :32] == IGNORE).all() and torch.equal(view.image[-1:], image)
    if source:
        assert torch.equal(view.label[:1], label.flip(2)) and torch.equal(view.image[:1], image.flip(3))
        assert view.mix_mask is not None and view.mix_mask.float().mean((1, 2)).tolist() == [1.0, 0.0]
    assert set(method(view)) == {"target/segmentation", "target/confidence"}
    # The mean is over the labelled part alone, the regulariser's over the target's.
    network.eval()
    with torch.no_grad():
        logits = F.interpolate(network(view.image).logits, (64, 64), mode="bilinear")
        found = method(view)
    expected = F.cross_entropy(logits, view.label, ignore_index=IGNORE)
    torch.testing.assert_close(found["target/segmentation"], expected)
    torch.testing.assert_close(found["target/confidence"], confidence(logits[-1:], view.label[-1:], 0.1))


def test_a_batch_may_lack_either_domain() -> None:
    image, label = torch.randn(2, 3, 8, 8), torch.randint(0, 4, (2, 8, 8))
    valid, soft = torch.ones(2, 8, 8, dtype=torch.bool), torch.rand(2, 4, 8, 8).softmax(1)
    method = offline(
        Given(torch.randn(2, 4, 8, 8)),
        {"confidence": ConfidenceRegularizer(ConfidenceSettings())},
        source=True,
    )
    for count in (0, 2):  # of the source's pictures
        batch = Batch(
            Source(image[:count], label[:count], [""] * count),
            Target(
                image[count:],
                valid[count:],
                label[count:],
                [""] * (2 - count),
                soft[:2] if not count else None,
            ),
        )
        (view,) = method.views(batch, 0)
        losses = method(view)
        assert all(torch.isfinite(loss) for loss in losses.values())
        assert (losses["target/confidence"] == 0) == (count == 2)


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_statistics_are_neither_moved_nor_taken_from_the_batch(frozen: bool) -> None:
    torch.manual_seed(0)
    network = build_segmenter("mobilenet_v2", "segformer", num_classes=4, channels=8, dropout=0.0)
    method = offline(network, source=True, frozen_statistics=frozen)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        assert norm.running_mean is not None
        norm.running_mean.normal_(std=0.1)
    before = {name: value.clone() for name, value in network.named_buffers()}
    image, label = torch.randn(2, 3, 64, 64), torch.randint(0, 4, (2, 64, 64))
    batch = Batch(Source(image, label, ["", ""]), Target(image.flip(0), None, label, ["", ""]))
    method.train()  # as the loop does before every step
    (view,) = method.views(batch, 0)
    assert isinstance(view, View)
    losses = method(view)
    network.eval()
    with torch.no_grad():
        fixed = method(view)
    moved = [name for name, value in network.named_buffers() if not torch.equal(value, before[name])]
    assert norms and (moved == []) == frozen
    # What is normalised by fixed statistics is predicted as in evaluation mode.
    close = torch.isclose(losses["target/segmentation"], fixed["target/segmentation"], rtol=1e-4)
    assert bool(close) == frozen
    losses["target/segmentation"].backward()
    assert all(norm.weight.grad is not None for norm in norms)


def batch() -> Batch:
    torch.manual_seed(3)
    label = torch.randint(0, 3, (2, 16, 16))
    label[:, :3] = IGNORE
    label[0, 5, 5] = 7  # of a class that is rare
    names = ["one", "other"]
    return Batch(
        Source(torch.randn(2, 3, 16, 16), label, names), Target(torch.randn(2, 3, 16, 16), None, None, names)
    )


@pytest.mark.parametrize("percentile", [0.0, 80.0])
def test_every_view_is_weighed(percentile: float) -> None:
    options: dict[str, Any] = {"mix": "class_mix", "mask": {}, "threshold": 0.05, "source_mean": "labelled"}
    options |= {"weights": ClassWeightSettings(), "percentile": percentile}
    method = self_training(Bright(), **options)
    plain = ClassWeightSettings().build(19)
    names: list[str] = []
    for view in method.views(batch(), 0):
        assert isinstance(view, View) and view.label is not None
        names.append(view.name)
        found = method(view)[f"{view.name}/segmentation"]
        with torch.no_grad():
            loss = F.cross_entropy(
                method.student(view.image).logits, view.label, ignore_index=IGNORE, reduction="none"
            )
        known = view.label != IGNORE
        of_pixel = torch.where(known, plain(view.label)[view.label.clamp(max=18)], 0)
        kept = known & (loss * of_pixel >= (loss * of_pixel).quantile(percentile / 100))
        trusted = loss if view.weight is None else loss * view.weight
        expected = (trusted * of_pixel)[kept].sum() / of_pixel[kept].sum()
        torch.testing.assert_close(found.detach(), expected, rtol=1e-5, atol=1e-6)
        assert of_pixel.unique().numel() > 2, "a rare class weighs more"
    assert names == ["source", "target", "masked"]


@pytest.mark.parametrize("percentile", [0.0, 80.0])
def test_the_source_is_weighed_alike_in_every_method(percentile: float) -> None:
    options: dict[str, Any] = {"weights": ClassWeightSettings(), "percentile": percentile}
    alone = SourceOnlySettings(**options).build(context(Bright()), {})
    others: list[Method] = [self_training(alone.student, **options)]
    if percentile == 0:
        settings = SeveralViewsSettings(baseline=False, weights=ClassWeightSettings())
        others.append(settings.build(context(alone.student), {}))
    data = batch()
    expected = alone(next(alone.views(data, 0)))["source/segmentation"]
    for other in others:
        assert torch.equal(other(next(iter(other.views(data, 0))))["source/segmentation"], expected)
