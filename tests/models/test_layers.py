"""The fast forms of linear layers and dilated convolutions give the numbers of the plain ones."""

import pytest
import torch
import torch.nn.functional as F

from segue.models.layers import ConvNorm, DilatedDepthwise, TokenLinear


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
