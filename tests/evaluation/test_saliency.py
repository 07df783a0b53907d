"""Layer saliency: leaving out a block, sharing the pass before it, counting, and who is non-salient."""

import pytest
import torch
from torch import Tensor, nn

from segue.evaluation.metrics import count, empty_confusion, iou_per_class, total
from segue.evaluation.model import TrainedModel
from segue.evaluation.predictors import whole
from segue.evaluation.saliency import (
    Saliency,
    by_agreement,
    by_labeller,
    by_labels,
    evenly,
    measure,
)  # fmt: skip
from segue.models.build import build_segmenter
from segue.models.encoders.encoder import left_out
from segue.models.segmenter import Segmenter
from segue.models.weights import Card
from segue.protocol import PredictionProtocol
from segue.types import IGNORE

WHOLE = PredictionProtocol((64, 64), mode="whole")
CARD = Card(["a", "b", "c", "d"], [[0, 0, 0]] * 4, [120.0] * 3, [60.0] * 3, {}, WHOLE, "source_only", 1)


class Noise:
    """Pictures of noise with random labels, some of them ignored."""

    def __init__(self, count: int = 3, size: tuple[int, int] = (64, 96)) -> None:
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=generator)
        self.labels = torch.randint(0, 4, (count, *size), dtype=torch.uint8, generator=generator)
        self.labels[:, :8] = IGNORE

    def __len__(self) -> int:
        return len(self.images)

    def image(self, index: int) -> Tensor:
        return self.images[index]

    def label(self, index: int) -> Tensor:
        return self.labels[index]


def network(**options: object) -> Segmenter:
    torch.manual_seed(0)
    made = build_segmenter("mit_nano_deep", "segformer", num_classes=4, channels=8, **options)
    for value in made.parameters():
        if value.ndim > 1:  # large enough that pictures differ in what is predicted
            nn.init.xavier_normal_(value, gain=2.0)
    return made.eval()


def trained(one: Segmenter) -> TrainedModel:
    return TrainedModel(one, CARD, torch.device("cpu"))


def found(one: Segmenter, pictures: Noise | None = None, reference=None) -> Saliency:
    pictures = pictures or Noise()
    return measure(trained(one), pictures, against="truth", reference=reference or by_labels(pictures))


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"multi_resolution": {"detail": (64, 64)}}])
def test_every_layer_is_left_out_once_and_comes_back(options: dict) -> None:
    one, image = network(**options), torch.randn(2, 3, 128, 128)
    with torch.no_grad():
        own = one(image).logits
        found = dict(one.without_each_layer(image))
        assert torch.equal(found.pop(None), own)
        assert torch.equal(one(image).logits, own)
        assert list(found) == [name for stage in one.encoder.layers for name in stage]
        for name, logits in found.items():
            with left_out(one.encoder.get_submodule(name)):
                assert torch.equal(logits, one(image).logits), name


def test_a_block_that_adds_nothing_costs_nothing() -> None:
    """With zeroed output projections its LSR is exactly 0, and leaving it out leaves the logits bitwise equal."""
    one = network()
    block = one.encoder.get_submodule("block3.1")
    for part in ("attn.proj", "mlp.fc2"):
        nn.init.zeros_(block.get_submodule(part).weight)
        nn.init.zeros_(block.get_submodule(part).bias)
    measured = found(one)
    assert measured.losses["block3.1"] == 0 and any(loss != 0 for loss in measured.losses.values())
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(dict(one.without_each_layer(image))["block3.1"], one(image).logits)


@pytest.mark.slow
def test_losses_are_differences_of_mean_iou_in_points() -> None:
    one, pictures = network(), Noise()
    measured = found(one, pictures)
    scores: dict[str | None, float] = {}
    for missing in (None, "block2.0"):
        confusion = empty_confusion(4)
        for index in range(len(pictures)):
            image = (pictures.image(index)[None].float() - 120.0) / 60.0
            with torch.no_grad():
                logits = dict(one.without_each_layer(image))[missing]
            enlarged = nn.functional.interpolate(logits, image.shape[-2:], mode="bilinear")
            count(confusion, enlarged.argmax(1)[0], label=pictures.label(index).long())
        ious = [iou for iou in iou_per_class(total(confusion)) if iou is not None]
        scores[missing] = sum(ious) / len(ious)
    assert measured.mean_iou == pytest.approx(scores[None])
    assert measured.losses["block2.0"] == pytest.approx(100 * (scores[None] - scores["block2.0"]))


def test_by_agreement_a_network_is_perfect_and_the_lower_half_is_non_salient() -> None:
    one, pictures = network(), Noise()
    measured = measure(trained(one), pictures, against="agreement", reference=by_agreement(), most=2)
    assert measured.mean_iou == 1 and measured.pictures == 2
    assert min(measured.losses.values()) >= 0
    non_salient = measured.non_salient(tolerance=100.0)
    assert len(non_salient) == 5
    others = [loss for name, loss in measured.losses.items() if name not in non_salient]
    assert max(measured.losses[name] for name in non_salient) <= min(others)


def test_another_model_labels_only_what_it_is_sure_of() -> None:
    one, pictures = network(), Noise()
    reference = by_labeller(trained(one), pictures, confidence=0.9)
    size = (64, 96)
    label = reference(0, size, torch.zeros(size))
    image = (pictures.image(0)[None].float() - 120.0) / 60.0
    sure, expected = whole(one)(image)[0].max(0)
    assert ((label == IGNORE) == (sure < 0.9)).all() and 0 < float((label == IGNORE).float().mean()) < 1
    assert (label[sure >= 0.9] == expected[sure >= 0.9]).all()


def test_rates_and_thresholds() -> None:
    losses = {"a": 0.05, "b": -0.5, "c": 2.0, "d": 0.1}
    measured = Saliency("truth", 0.5, losses, [["a", "b"], ["c", "d"]], 10)
    assert measured.non_salient() == ["a"]
    assert measured.non_salient(signed=True) == ["a", "b"]
    assert measured.non_salient(threshold=0.3) == ["a", "d"]
    agreeing = Saliency("agreement", 1.0, losses, [["a", "b"], ["c", "d"]], 10)
    assert agreeing.non_salient(share=0.5) == ["a", "d"]
    assert agreeing.non_salient(share=1.0, tolerance=0.5) == ["a", "d"]  # no share makes a layer useless
    assert Saliency.from_json(measured.to_json()) == measured
    with pytest.raises(ValueError, match="not a saliency"):
        Saliency.from_json({"against": "truth"})


def test_networks_without_blocks_and_pictures_without_labels_are_refused() -> None:
    plain = build_segmenter("mobilenet_v2", "segformer", num_classes=4, channels=8)
    with pytest.raises(ValueError, match="MobileNetV2 has no layers that can be left out"):
        found(plain)
    pictures = Noise()
    pictures.labels.fill_(IGNORE)
    with pytest.raises(ValueError, match="no pixel had a label"):
        found(network(), pictures)


def test_pictures_are_taken_evenly() -> None:
    assert evenly(10, 3) == [0, 3, 6]
    assert evenly(2, 500) == [0, 1]
