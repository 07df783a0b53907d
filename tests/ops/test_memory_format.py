"""Putting maps together changes no number, and hands dense gradients back in each part's own layout."""

import pytest
import torch

from segue.ops.memory_format import concatenated

LAST, FIRST = torch.channels_last, torch.contiguous_format


def maps(layout: torch.memory_format, channels: int) -> torch.Tensor:
    return torch.rand(2, channels, 5, 7).contiguous(memory_format=layout).requires_grad_()


@pytest.mark.parametrize("layouts", [(LAST, LAST), (FIRST, FIRST), (LAST, FIRST)])
def test_concatenated(layouts):
    parts = [maps(own, channels) for own, channels in zip(layouts, (3, 4), strict=True)]
    result = concatenated(parts)
    expected = torch.cat(parts, dim=1)
    assert torch.equal(result, expected)
    cotangent = torch.rand(expected.shape).contiguous(memory_format=layouts[0])
    wanted = torch.autograd.grad(expected, parts, cotangent)
    found = torch.autograd.grad(result, parts, cotangent)
    for gradient, reference, own in zip(found, wanted, layouts, strict=True):
        assert torch.equal(gradient, reference)
        assert gradient.is_contiguous(memory_format=own)
    assert not wanted[0].is_contiguous(memory_format=layouts[0])  # what torch.cat hands back


def test_parts_without_gradient():
    fixed, learnt = maps(LAST, 2).detach(), maps(LAST, 3)
    (gradient,) = torch.autograd.grad(concatenated([fixed, learnt]).sum(), learnt)
    assert torch.equal(gradient, torch.ones_like(learnt))
