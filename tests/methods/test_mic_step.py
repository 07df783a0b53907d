"""MIC: a whole step on HRDA equals the official one; hidden pixels are exactly 0, each mode shows its pictures."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.methods.building import self_training
from tests.methods.official import THINGS, Data, GivenMix, compare, part
from tests.parity import from_bits, notes, numbers
from torch import Tensor

from segue.engine import optim
from segue.methods.masking import MaskedConsistency, MaskSettings
from segue.methods.self_training import SelfTraining
from segue.methods.teachers.average import AverageSettings, EmaTeacher
from segue.methods.terms.feature_distance import FeatureDistance, FeatureDistanceSettings
from segue.models.encoders.mit import MixTransformer
from segue.models.heads.daformer import DaformerHead
from segue.models.multi_resolution import MultiResolution, Shrink
from segue.models.settings import MultiResolutionSettings, NetworkSettings
from segue.ops.windows import Window
from segue.types import Batch, Source, Target, View

LOGGED = {
    "source": "decode",
    "target": "mix.decode",
    "masked": "masked.decode",
}

HRDA = MultiResolutionSettings().model_dump(exclude={"detail", "attention"})


class GivenWindows(MultiResolution):
    """Draws the windows that the official code drew, one a pass."""

    given: Iterator[Window]

    def draw_window(self, size: tuple[int, int]) -> Window:
        return next(self.given)


def network(config: dict) -> GivenWindows:
    backbone, width = config["backbone"], config["head"]["channels"]
    encoder = MixTransformer(
        backbone["embed_dims"], backbone["depths"], heads=backbone["num_heads"], drop_path=0.0
    )
    head = DaformerHead(encoder.out_channels, 19, NetworkSettings(channels=width, dropout=0.0))
    attention = DaformerHead(
        encoder.out_channels, 19, NetworkSettings(channels=width, context="conv1", dropout=0.0)
    )
    return GivenWindows(encoder, head, attention_head=attention, detail=(64, 64), **HRDA)


def given_mask(visible: Tensor):
    def masked(source: View, target: View) -> View:
        return View("masked", target.image * visible, target.label, target.weight)

    return masked


def method(data: Data, start: Data, config: dict) -> SelfTraining:
    student = network(config)
    teacher = EmaTeacher(AverageSettings(), student)
    student.load_state_dict(part(start, "student/") | part(data, "student/"))
    # The official teacher starts with the student's parameters but its own, fresh buffers.
    teacher.network.load_state_dict(dict(student.named_parameters()), strict=False)
    boxes = data["step0/crop_boxes_source_mixed_masked"].tolist()
    student.given = iter([(slice(y1, y2), slice(x1, x2)) for y1, y2, x1, x2 in boxes])
    reference = MixTransformer(
        config["backbone"]["embed_dims"],
        config["backbone"]["depths"],
        heads=config["backbone"]["num_heads"],
        drop_path=0.0,
    )
    reference.load_state_dict({k.removeprefix("encoder."): v for k, v in part(start, "imagenet/").items()})
    seen_small = torch.nn.Sequential(Shrink(2), reference)
    return self_training(
        student,
        {
            "feature_distance": FeatureDistance(
                FeatureDistanceSettings(), seen_small, classes=THINGS, num_classes=19
            )
        },
        teacher=teacher,
        threshold=config["pseudo_threshold"],
        mix=GivenMix([data["step0/mix_mask_bits"]]),
        mask=given_mask(from_bits(data["step0/patch_mask_bits"])),
    )


def test_one_step(fixtures_dir: Path) -> None:
    data = numbers(fixtures_dir, "step_mic_tiny")
    # Both official runs began with the same weights, but for the attention head and a few running statistics.
    start = numbers(fixtures_dir, "step_daformer_tiny")
    config = json.loads(notes(fixtures_dir, "step_mic_tiny")["config"])
    trained = method(data, start, config)
    optimizer = optim.adamw(
        optim.parameter_groups(trained, lr=6e-5, head_factor=10.0, weight_decay=0.01), betas=(0.9, 0.999)
    )
    trained.train()
    label = data["step0/label"].squeeze(1).long()
    valid = from_bits(data["step0/valid_pseudo_mask_bits"]).squeeze(1)
    names = ["", ""]
    batch = Batch(
        Source(data["step0/img_x32"].float() / 32, label, names),
        Target(data["step0/target_img_x32"].float() / 32, valid, None, names),
    )
    losses: dict[str, float] = {}
    for view in trained.views(batch, 3):
        if view.name == "masked":
            assert view.label is not None
            assert (view.label == data["step0/pseudo_label"].long()).float().mean() > 0.9999
        found = trained(view)
        torch.stack(list(found.values())).sum().backward()
        losses |= {name: float(loss.detach()) for name, loss in found.items()}
    for ours, official in LOGGED.items():
        expected = float(data[f"step0/log/{official}.loss_seg"] + data[f"step0/log/{official}.hr.loss_seg"])
        assert losses[f"{ours}/segmentation"] == pytest.approx(expected, rel=2e-5), ours
    distance = float(data["step0/log/src.loss_imnet_feat_dist"])
    assert losses["source/feature_distance"] == pytest.approx(distance, rel=2e-5)
    optimizer.step()
    compare(trained.student.state_dict(), part(data, "student_after/"))


def views() -> tuple[View, View]:
    torch.manual_seed(0)
    label = torch.randint(0, 5, (2, 2, 32, 32))
    image = torch.randn(2, 2, 3, 32, 32)
    weight = torch.full((2, 32, 32), 0.4)
    return View("source", image[0], label[0]), View("target", image[1], label[1], weight)


def test_the_target_is_masked_after_its_colours_changed() -> None:
    source, target = views()
    masked = MaskedConsistency(MaskSettings(block=8, ratio=0.5), lambda image: image + 10)(source, target)
    assert masked.name == "masked"
    assert masked.label is target.label and masked.weight is target.weight
    hidden = (masked.image == 0).all(1)
    assert 0 < hidden.float().mean() < 1
    shown = ~hidden[:, None].expand_as(masked.image)
    assert torch.equal(masked.image[shown], (target.image + 10)[shown])


def test_a_block_below_one_is_a_share_of_the_height() -> None:
    source, target = views()
    torch.manual_seed(3)
    share = MaskedConsistency(MaskSettings(block=1 / 4), None)(source, target)
    torch.manual_seed(3)
    pixels = MaskedConsistency(MaskSettings(block=8), None)(source, target)
    assert torch.equal(share.image, pixels.image)


def test_both_shows_one_half_of_each_domain() -> None:
    source, target = views()
    masked = MaskedConsistency(MaskSettings(block=8, ratio=0.0, pictures="both"), None)(source, target)
    assert torch.equal(masked.image, torch.stack([source.image[0], target.image[0]]))
    assert torch.equal(masked.label, torch.stack([source.label[0], target.label[0]]))
    assert masked.weight[0].eq(1).all() and masked.weight[1].eq(0.4).all()
