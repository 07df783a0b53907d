"""The networks that ours are timed against compute the same: outputs, gradients and statistics."""

import copy

import pytest
import torch

from segue.bench.official import PlainEncoder, PlainHead
from segue.models.build import build_encoder
from segue.models.heads.daformer import DaformerHead
from segue.models.settings import NetworkSettings


def gradients_of(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def assert_alike(mine: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], share: float = 1e-4) -> None:
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        largest = float(theirs[name].abs().max())
        assert float((value - theirs[name]).abs().max()) <= share * largest + 1e-8, name


@pytest.mark.parametrize("size", [(64, 96), (70, 90)])
def test_encoder(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    ours = build_encoder("mit_nano_deep", drop_path=0.3).train()
    theirs = copy.deepcopy(ours)
    image = torch.randn(2, 3, *size)
    found = []
    for network in (ours, PlainEncoder(theirs)):
        torch.manual_seed(1)  # the same branches are dropped
        maps = network(image)
        torch.stack([level.square().mean() for level in maps]).sum().backward()
        found.append(maps)
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-4)
    assert_alike(gradients_of(ours), gradients_of(theirs))


@pytest.mark.parametrize("training", [True, False])
def test_head(training: bool) -> None:
    torch.manual_seed(0)
    widths = (8, 16, 24, 32)
    ours = DaformerHead(widths, 5, NetworkSettings(channels=16, dropout=0.3)).train(training)
    theirs = copy.deepcopy(ours)
    features = [torch.randn(2, width, 40 >> i, 48 >> i) for i, width in enumerate(widths)]
    found = []
    for network in (ours, PlainHead(theirs)):
        torch.manual_seed(1)
        logits, embedding = network(features)
        (logits.square().mean() + embedding.square().mean()).backward()
        found.append((logits, embedding))
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-4)
    assert_alike(gradients_of(ours), gradients_of(theirs), 1e-3)
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, theirs.state_dict()[name], atol=1e-5, rtol=1e-5)
