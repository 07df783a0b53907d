"""Taking maps apart and joining them are transposes that copy every cell once; what comes out is dense."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from segue.ops.dilation import apart, dilated_depthwise, joined

SIZES = [((16, 24), 2), ((37, 19), 6), ((40, 54), 18), ((36, 54), 18), ((5, 7), 3)]


class Copies(TorchDispatchMode):
    """Counts the elements that are copied, padded or filled."""

    def __init__(self) -> None:
        super().__init__()
        self.copied = self.filled = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        result = func(*args, **(kwargs or {}))
        if name in ("copy_", "clone", "_to_copy", "constant_pad_nd"):
            self.copied += result.numel()
        if name in ("fill_", "zero_", "zeros", "new_zeros"):
            self.filled += result.numel()
        return result


def grid(size: tuple[int, int], dilation: int) -> tuple[int, int]:
    return -(-size[0] // dilation), -(-size[1] // dilation)


@pytest.mark.parametrize(("size", "dilation"), SIZES)
def test_joining_undoes_taking_apart_and_is_its_transpose(size, dilation):
    maps = torch.rand(2, *size, 4)
    parts = apart(maps, dilation, grid(size, dilation))
    assert torch.equal(joined(parts, size), maps)
    assert float(parts.double().sum()) == pytest.approx(float(maps.double().sum()))  # zeros elsewhere
    others = torch.rand(parts.shape)
    assert float((parts * others).sum()) == pytest.approx(
        float((maps * joined(others, size)).sum()), rel=1e-5
    )
    assert torch.equal(parts[:, 1, 0, 0, 1], maps[:, 1, dilation])


@pytest.mark.parametrize(("size", "dilation"), SIZES)
def test_every_cell_is_copied_once_and_nothing_is_padded_where_the_dilation_divides(size, dilation):
    maps = torch.rand(2, *size, 4)
    with Copies() as taking:
        parts = apart(maps, dilation, grid(size, dilation))
    with Copies() as joining:
        joined(parts, size)
    assert taking.copied == joining.copied == maps.numel()
    divides = not any(side % dilation for side in size)
    assert (taking.filled == 0) is divides
    assert taking.filled < parts.numel()
    assert joining.filled == 0


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("size", [(40, 54), (36, 54)])
def test_the_result_and_its_gradient_are_dense(size, layout):
    maps = torch.rand(2, 4, *size).contiguous(memory_format=layout).requires_grad_()
    weight = torch.rand(4, 1, 3, 3)
    result = dilated_depthwise(maps, weight, dilation=18)
    assert result.is_contiguous(memory_format=torch.channels_last)
    (gradient,) = torch.autograd.grad(result.square().sum(), maps)
    assert gradient.is_contiguous(memory_format=torch.channels_last)


def test_an_exporter_sees_the_plain_convolution():
    class Net(torch.nn.Module):
        def forward(self, maps, weight):
            return dilated_depthwise(maps, weight, dilation=6)

    maps, weight = torch.rand(1, 4, 40, 54), torch.rand(4, 1, 3, 3)
    exported = torch.export.export(Net(), (maps, weight))
    names = [str(node.target) for node in exported.graph.nodes if node.op == "call_function"]
    assert names == ["aten.conv2d.default"]
    expected = F.conv2d(maps, weight, padding=6, dilation=6, groups=4)
    torch.testing.assert_close(exported.module()(maps, weight), expected)
