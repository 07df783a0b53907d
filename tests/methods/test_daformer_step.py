"""Two whole training steps of DAFormer equal the official implementation: losses, gradients, weights, teacher."""

import json
from pathlib import Path

import pytest
import torch
from tests.methods.building import self_training
from tests.methods.official import THINGS, Data, GivenMix, compare, part
from tests.parity import notes, numbers
from torch import Tensor

from segue.engine import optim
from segue.methods.self_training import SelfTraining
from segue.methods.teachers.average import AverageSettings, EmaTeacher
from segue.methods.terms.feature_distance import FeatureDistance, FeatureDistanceSettings
from segue.models.encoders.mit import MixTransformer
from segue.models.heads.daformer import DaformerHead
from segue.models.segmenter import Segmenter
from segue.models.settings import NetworkSettings
from segue.settings import Margins
from segue.types import Batch, Source, Target


@pytest.fixture(scope="module")
def data(fixtures_dir: Path) -> Data:
    return numbers(fixtures_dir, "step_daformer_tiny")


def method(data: Data, config: dict) -> SelfTraining:
    encoder = MixTransformer(
        config["backbone"]["embed_dims"],
        config["backbone"]["depths"],
        heads=config["backbone"]["num_heads"],
        drop_path=0.0,
    )
    student = Segmenter(
        encoder, DaformerHead(encoder.out_channels, 19, NetworkSettings(channels=8, dropout=0.0))
    )
    teacher = EmaTeacher(AverageSettings(), student)
    student.load_state_dict(part(data, "student/"))
    # The official teacher starts with the student's parameters but its own, fresh buffers.
    teacher.network.load_state_dict(dict(student.named_parameters()), strict=False)
    reference = MixTransformer(
        config["backbone"]["embed_dims"],
        config["backbone"]["depths"],
        heads=config["backbone"]["num_heads"],
        drop_path=0.0,
    )
    reference.load_state_dict({k.removeprefix("encoder."): v for k, v in part(data, "imagenet/").items()})
    return self_training(
        student,
        {
            "feature_distance": FeatureDistance(
                FeatureDistanceSettings(), reference, classes=THINGS, num_classes=19
            )
        },
        teacher=teacher,
        threshold=config["pseudo_threshold"],
        mix=GivenMix([data["step0/mix_mask_bits"], data["step1/mix_mask_bits"]]),
        margins=Margins(top=config["ignore_top"] / 96, bottom=config["ignore_bottom"] / 96),
    )


def batch(data: Data, step: int) -> Batch:
    label = data[f"step{step}/label"].squeeze(1).long()
    source = Source(data[f"step{step}/img_x32"].float() / 32, label, ["", ""])
    return Batch(source, Target(data[f"step{step}/target_img_x32"].float() / 32, None, None, ["", ""]))


def test_two_steps(data: Data, fixtures_dir: Path) -> None:
    config = json.loads(notes(fixtures_dir, "step_daformer_tiny")["config"])
    trained = method(data, config)
    optimizer = optim.adamw(
        optim.parameter_groups(trained, lr=6e-5, head_factor=10.0, weight_decay=0.01), betas=(0.9, 0.999)
    )
    trained.train()
    for step in range(2):
        losses: dict[str, Tensor] = {}
        for view in trained.views(batch(data, step), step):
            found = trained(view)
            torch.stack(list(found.values())).sum().backward()
            losses |= found
        logged = {
            "source/segmentation": "decode.loss_seg",
            "source/feature_distance": "src.loss_imnet_feat_dist",
            "target/segmentation": "mix.decode.loss_seg",
        }
        for ours, official in logged.items():
            assert float(losses[ours].detach()) == pytest.approx(
                float(data[f"step{step}/log/{official}"]), rel=2e-5
            ), ours
        if step == 0:
            for name, gradient in part(data, "step0/grad/").items():
                mine = trained.student.get_parameter(name).grad
                assert mine is not None, name
                assert torch.allclose(
                    mine, gradient, rtol=1e-3, atol=1e-4 * float(gradient.abs().max()) + 1e-8
                ), name
        optimizer.step()
        optimizer.zero_grad()
        if step == 0:  # the second official update happens at the start of an iteration that was not run
            trained.after_step(batch(data, step), step)
    compare(trained.student.state_dict(), part(data, "student_after/"))
    compare(trained.teacher.network.state_dict(), part(data, "teacher_after/"))
