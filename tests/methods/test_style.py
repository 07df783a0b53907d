"""Self-training with FDA's style: the source is learnt and pasted with the target's low frequencies."""

import torch
from tests.methods.building import self_training
from torch import nn

from segue.methods.style import AmplitudeExchange
from segue.types import Batch, Output, Source, Supervised, Target


class Bright(nn.Module):
    """Names pixels by their colour, so that there is something to label."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 19, 1)

    def forward(self, image: torch.Tensor) -> Output:
        logits = self.layer(image)
        return Output(logits, [image], image, [Supervised(logits)])


def batch() -> Batch:
    torch.manual_seed(0)
    source, target = torch.rand(2, 3, 32, 48), 3 * torch.rand(2, 3, 32, 48) - 1
    label = torch.zeros(2, 32, 48, dtype=torch.int64)
    label[..., 24:] = 1
    return Batch(Source(source, label, ["", ""]), Target(target, None, None, ["", ""]))


def test_the_source_is_learnt_and_pasted_in_the_targets_style() -> None:
    data = batch()
    method = self_training(Bright(), style={"beta": 0.05}, mix="class_mix")
    labelled: list[torch.Tensor] = []
    method.teacher.register_forward_pre_hook(lambda _, given: labelled.append(given[0]))
    torch.manual_seed(1)
    source, target = method.views(data, 0)
    assert data.target is not None
    exchange = method.style
    assert isinstance(exchange, AmplitudeExchange)
    styled = exchange(data.source.image, data.target.image)
    assert torch.equal(source.image, styled)
    assert not torch.allclose(styled, data.source.image, atol=0.1)
    assert source.label is not None and torch.equal(source.label, data.source.label)
    pasted = target.image == styled
    assert bool((pasted | (target.image == data.target.image)).all())
    assert 0 < float(pasted.all(1).float().mean()) < 1
    assert len(labelled) == 1 and torch.equal(labelled[0], data.target.image)


def test_without_it_the_source_is_as_it_was() -> None:
    data = batch()
    method = self_training(Bright())
    source, _ = method.views(data, 0)
    assert method.style is None
    assert torch.equal(source.image, data.source.image)
