"""Interlaced attention lets every cell see every other one; dilated convolutions are what they say."""

import pytest
import torch

from segue.models.heads.context import Aspp, InterlacedAttention


def reach(module, size, *, at):
    """Which cells of the input the output at one cell depends on."""
    module.eval()
    maps = torch.rand(1, 4, *size, requires_grad=True)
    module(maps)[0, :, at[0], at[1]].square().sum().backward()
    return maps.grad[0].abs().sum(0) > 0


@pytest.mark.parametrize("size", [(16, 16), (13, 19)])
def test_two_sparse_steps_reach_everything(size):
    torch.manual_seed(0)
    assert reach(InterlacedAttention(4, 8, block=4), size, at=(5, 6)).all()


def test_aspp_sees_a_row_of_dilations():
    torch.manual_seed(0)
    seen = reach(Aspp(4, 8, separable=True, dilations=(1, 3)), (15, 15), at=(7, 7))
    assert seen[3:12, 3:12].all()
    assert not seen[:3].any()
    assert not seen[:, 12:].any()
