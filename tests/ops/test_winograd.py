"""Winograd's convolution equals the library's, forward and backward, within the rounding that it promises."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from segue.ops import winograd
from segue.ops.winograd import convolved

Convolution = Callable[[Tensor, Tensor], Tensor]


def library(maps: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(maps, weight, padding=1)


def found(convolution: Convolution, dtype: torch.dtype, *values: Tensor) -> list[Tensor]:
    """What comes out, and the gradients of maps and weight."""
    maps, weight, gradient = (value.to(dtype) for value in values)
    maps, weight = maps.requires_grad_(), weight.requires_grad_()
    result = convolution(maps, weight)
    return [result, *torch.autograd.grad(result, (maps, weight), gradient)]


def drawn(batch: int, channels: int, wide: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(height * width)
    weight = torch.randn(wide, channels, 3, 3, generator=generator) / (9 * channels) ** 0.5
    maps = torch.randn(batch, channels, height, width, generator=generator)
    return maps, weight, torch.randn(batch, wide, height, width, generator=generator)


@given(*(st.integers(1, most) for most in (3, 4, 4, 30, 30)), st.integers(1, 12))
def test_any_size_of_map_and_strip(
    batch: int, channels: int, wide: int, height: int, width: int, tiles: int
) -> None:
    """Maps that no tile fits, of a cell or of several strips; gradients of both inputs."""
    values = drawn(batch, channels, wide, height, width)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "FEWEST_CELLS", 0)
        patch.setattr(winograd, "FEWEST_CHANNELS", 1)
        patch.setattr(winograd, "TILES", tiles)
        ours = found(convolved, torch.float32, *values)
    for own, exact in zip(ours, found(library, torch.float64, *values), strict=True):
        assert own.shape == exact.shape
        assert (own - exact).norm() <= 1e-5 * exact.norm() + 1e-6


def test_wide_maps_are_as_exact_as_said_and_lie_channels_last() -> None:
    values = drawn(2, 256, 128, 40, 34)
    ours = found(convolved, torch.float32, *values)
    assert not torch.equal(ours[0], library(*values[:2])), "Winograd's method rounds otherwise"
    for own, exact in zip(ours, found(library, torch.float64, *values), strict=True):
        assert (own - exact).norm() <= 4e-6 * exact.norm()
    assert all(own.is_contiguous(memory_format=torch.channels_last) for own in ours[:2])
    again = found(convolved, torch.float32, *values)
    assert all(torch.equal(one, other) for one, other in zip(ours, again, strict=True))


@pytest.mark.parametrize("size", [(1, 127, 128, 32, 32), (1, 128, 127, 32, 32), (1, 128, 128, 32, 31)])
def test_what_is_narrow_or_small_is_left_to_the_library(size: tuple[int, ...]) -> None:
    maps, weight, _ = drawn(*size)
    assert torch.equal(convolved(maps, weight), library(maps, weight))


def test_so_is_another_precision() -> None:
    maps, weight, _ = drawn(1, 128, 128, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(convolved(maps, weight), library(maps, weight))
    assert torch.equal(convolved(maps.double(), weight.double()), library(maps.double(), weight.double()))
