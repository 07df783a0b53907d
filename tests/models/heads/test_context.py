"""Interlaced attention sees every cell; dilated convolutions are what they say, and keep little for the gradient."""

import pytest
import torch

from segue.models.heads.context import Aspp, InterlacedAttention, SeparableConvNorm


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


@pytest.mark.parametrize("is_kept", [False, True])
def test_wide_maps_are_not_kept_for_the_gradient(is_kept: bool) -> None:
    """Besides what comes in only narrow maps are, unless a norm's hook asks for the whole map."""
    layer, kept = SeparableConvNorm(64, 4, dilation=2), list[torch.Tensor]()
    if is_kept:
        layer.depthwise_conv.bn.register_forward_hook(lambda *_: None)
    maps = [torch.rand(1, 16, 12, 12, requires_grad=True) for _ in range(4)]
    with torch.autograd.graph.saved_tensors_hooks(lambda one: kept.append(one) or one, lambda one: one):
        layer(*maps)
    given = {one.data_ptr() for one in maps}
    made = [one.shape[1] for one in kept if one.shape[-2:] == (12, 12) and one.data_ptr() not in given]
    assert max(made) == (64 if is_kept else 4)
