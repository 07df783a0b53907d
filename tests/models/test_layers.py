"""The fast forms of linear layers and dilated convolutions give the numbers of the plain ones."""

import pytest
import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

from segue.models.heads.context import PointwiseFusion
from segue.models.layers import ConvNorm, DilatedDepthwise, PointwiseConv, TokenLinear


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", [(2, 5, 7, 6), (1, 1, 1, 6)])
def test_token_linear_is_linear(threads, shape):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    layer = TokenLinear(6, 4)
    tokens = torch.rand(shape)
    expected = F.linear(tokens, layer.weight, layer.bias)
    torch.testing.assert_close(layer(tokens), expected)
    torch.set_num_threads(before)


def test_one_thread_convolves_with_the_fast_library():
    """Fewer than sixteen pictures on one thread: PyTorch would take its slow way, forward and backward."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    maps = torch.rand(2, 48, 20, 24).contiguous(memory_format=torch.channels_last).requires_grad_()
    layer = PointwiseConv(48, 32, 1)
    cotangent = torch.rand(2, 32, 20, 24).contiguous(memory_format=torch.channels_last)
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        result = layer(maps)
        found = torch.autograd.grad(result, (maps, layer.weight, layer.bias), cotangent)
    expected = F.conv2d(maps, layer.weight, layer.bias)
    wanted = torch.autograd.grad(expected, (maps, layer.weight, layer.bias), cotangent)
    torch.set_num_threads(before)
    names = {event.key for event in seen.key_averages()}
    assert not any("slow_conv" in name for name in names)
    assert result.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(result, expected)
    for gradient, reference in zip(found, wanted, strict=True):
        torch.testing.assert_close(gradient, reference, atol=1e-4, rtol=1e-5)


def test_levels_are_fused_as_if_enlarged_and_concatenated():
    """Outputs and all gradients; and nothing as wide as all levels together is made."""
    torch.manual_seed(0)
    layer = PointwiseFusion(4 * 8, 6).train()
    levels = [torch.randn(2, 8, 24 // s, 40 // s, requires_grad=True) for s in (1, 2, 4, 8)]
    whole = torch.cat([F.interpolate(level, (24, 40), mode="bilinear") for level in levels], dim=1)
    expected = F.relu(F.batch_norm(layer.conv(whole), None, None, training=True))
    result = layer(*levels)
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)
    cotangent = torch.randn_like(result)
    of = (*levels, layer.conv.weight)
    mine, theirs = (torch.autograd.grad(one, of, cotangent) for one in (result, expected))
    for gradient, reference in zip(mine, theirs, strict=True):
        torch.testing.assert_close(gradient, reference, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dilation", [2, 6, 18])
@pytest.mark.parametrize("size", [(16, 24), (37, 19), (40, 54), (1, 5)])
def test_dilated_depthwise_is_the_convolution(dilation, size):
    layer = DilatedDepthwise(3, 3, 3, padding=dilation, dilation=dilation, groups=3, bias=False)
    maps = torch.rand(2, 3, *size, requires_grad=True)
    cotangent = torch.rand(2, 3, *size)
    expected = F.conv2d(maps, layer.weight, padding=dilation, dilation=dilation, groups=3)
    wanted = torch.autograd.grad(expected, (maps, layer.weight), cotangent)
    result = layer(maps)
    torch.testing.assert_close(result, expected)
    for gradient, reference in zip(
        torch.autograd.grad(result, (maps, layer.weight), cotangent), wanted, strict=True
    ):
        torch.testing.assert_close(gradient, reference, atol=1e-5, rtol=1e-5)


def test_conv_norm_keeps_the_size():
    maps = torch.rand(2, 4, 9, 7)
    assert ConvNorm(4, 6)(maps).shape == (2, 6, 9, 7)
    assert ConvNorm(4, 6, kernel=3, dilation=5)(maps).shape == (2, 6, 9, 7)
    assert type(ConvNorm(4, 4, kernel=3, dilation=5, groups=4).conv) is DilatedDepthwise
    assert ConvNorm(4, 6)(maps).min() == 0
