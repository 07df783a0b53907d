"""Parameter groups and the learning rate equal those of the official optimiser constructor and schedule."""

import json
from pathlib import Path

import pytest
import torch

from segue.engine import optim
from segue.models.build import build_segmenter


def test_every_parameter_has_the_official_rate_and_decay(fixtures_dir: Path) -> None:
    official = json.loads((fixtures_dir / "optimizer_groups.json").read_text())
    with torch.device("meta"):
        network = build_segmenter("mit_b5", "daformer", num_classes=19)
    groups = optim.parameter_groups(network, lr=6e-5, head_factor=10.0, weight_decay=0.01)
    mine = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert len(groups) == 3
    for name, (rate, decay) in official["lr_and_decay"].items():
        ours = name.replace("backbone.", "encoder.").replace("decode_head.", "head.")
        assert mine[id(network.get_parameter(ours))] == pytest.approx((rate, decay)), name


def test_rates_equal_the_official_schedule(fixtures_dir: Path) -> None:
    official = json.loads((fixtures_dir / "lr_schedule.json").read_text())
    for step, (encoder, head) in zip(official["iterations"], official["poly10warm"]["lr"], strict=True):
        factor = optim.schedule(step, 40000, warmup=1500)
        assert 6e-5 * factor == pytest.approx(encoder, rel=1e-9)
        assert 6e-4 * factor == pytest.approx(head, rel=1e-9)


def test_setting_the_rates_keeps_the_ratio_of_head_and_encoder() -> None:
    network = build_segmenter("mit_nano", "segformer", num_classes=3, channels=8)
    optimizer = optim.adamw(
        optim.parameter_groups(network, lr=1e-3, head_factor=10.0, weight_decay=0.01), betas=(0.9, 0.999)
    )
    optim.set_rates(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([5e-4, 5e-4, 5e-3])


def test_a_teacher_is_not_optimised() -> None:
    network = build_segmenter("mit_nano", "segformer", num_classes=3, channels=8).requires_grad_(False)
    assert optim.parameter_groups(network, lr=1e-3, head_factor=1.0, weight_decay=0.0) == []
