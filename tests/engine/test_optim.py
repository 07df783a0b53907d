"""Parameter groups and the learning rate equal those of the official optimiser constructor and schedule."""

import json
from pathlib import Path

import pytest
import torch
from tests.methods.building import context

from segue.engine import optim
from segue.engine.settings import OptimSettings
from segue.methods.source_only import SourceOnlySettings
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


def test_sgd_decays_all_and_the_heads_learn_faster() -> None:
    """The official groups of the AdaptSegNet family: the rate, ten times the rate, and one decay for both."""
    network = build_segmenter("mit_nano", "segformer", num_classes=3, channels=8)
    method = SourceOnlySettings().build(context(network), {})
    settings = OptimSettings(name="sgd", lr=2.5e-4, weight_decay=5e-4, nesterov=True, warmup=0.0, power=0.9)
    own = optim.Optimisers(method, settings, steps=250_000)
    optimizer = own.by_name["optimizer"]
    assert isinstance(optimizer, torch.optim.SGD)
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    assert len(groups) == len(list(method.parameters()))
    own.set_rates(120_000)
    for name, parameter in method.student.named_parameters():
        group = groups[id(parameter)]
        rate = (2.5e-3 if name.startswith("head") else 2.5e-4) * (1 - 120 / 250) ** 0.9
        assert (group["lr"], group["weight_decay"]) == pytest.approx((rate, 5e-4)), name
        assert group["momentum"] == 0.9 and group["nesterov"]


@pytest.mark.parametrize("nesterov", [False, True])
def test_a_held_first_step_leaves_sgd_without_momentum(nesterov: bool) -> None:
    """After it, steps equal those of torch's own SGD that was never held."""
    weights = [torch.nn.Parameter(torch.arange(4.0)) for _ in range(2)]
    options = {"momentum": 0.9, "weight_decay": 0.1, "nesterov": nesterov}
    held = optim.HeldSGD([{"params": [weights[0]]}], lr=0.5, fused=True, **options)
    free = torch.optim.SGD([weights[1]], lr=0.5, **options)
    weights[0].grad = torch.full((4,), torch.nan)
    held.held = torch.ones(())
    held.step()
    held.held = torch.zeros(())
    for step in range(3):
        for weight in weights:
            weight.grad = torch.full((4,), 1.0 + step)
        held.step()
        free.step()
    assert torch.allclose(weights[0], weights[1])
