"""Amplitudes are exchanged as by FDA's training and by its numpy function, for both windows and every band; equal
pictures stay as they are, and means are the target's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.parity import numbers
from torch import Tensor

from segue.ops.spectrum import exchange_amplitude, low_frequencies

CASES = [("size0", beta) for beta in (0.01, 0.05, 0.09, 0.5)] + [
    ("size1", beta) for beta in (0.01, 0.05, 0.5)
]
WINDOWS = ("centred", "corners")


@pytest.fixture(scope="module")
def official(fixtures_dir: Path) -> dict[str, Tensor]:
    return numbers(fixtures_dir, "fda_amplitude")


def pictures(height: int = 40, width: int = 56) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    one, other = (255 * torch.rand(2, 3, height, width, generator=generator) for _ in range(2))
    return one, other


@pytest.mark.parametrize(("size", "beta"), CASES)
@pytest.mark.parametrize(("window", "tolerance"), [("centred", 1e-3), ("corners", 2e-3)])
def test_the_official_pictures(
    official: dict[str, Tensor], window: str, tolerance: float, size: str, beta: float
) -> None:
    source, target = (official[f"{size}/{name}"].float() for name in ("source", "target"))
    found = exchange_amplitude(source, target, beta=beta, window=window)  # type: ignore[arg-type]
    wanted = official.get(f"{size}/beta{beta}/{window}", source)  # corners of no side exchange nothing
    assert torch.allclose(found, wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("size", "beta"), CASES)
def test_the_centred_window_is_the_official_one(official: dict[str, Tensor], size: str, beta: float) -> None:
    wanted = official[f"{size}/beta{beta}/window_centred"].bool()
    height, width = wanted.shape
    found = low_frequencies((height, width), beta=beta, window="centred")
    assert torch.equal(found, wanted[:, : width // 2 + 1])


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("size", [(40, 56), (33, 47), (32, 32)])
@pytest.mark.parametrize("beta", [0.03, 0.09, 0.5])
def test_a_whole_transform_of_what_is_exchanged_is_real(
    window: str, size: tuple[int, int], beta: float
) -> None:
    """Against numpy's transform of the whole plane, in which every frequency has its own mirror image."""
    height, width = size
    half = low_frequencies(size, beta=beta, window=window).numpy()  # type: ignore[arg-type]
    rows, columns = np.arange(height), np.arange(width)
    is_right = columns > width // 2
    whole = half[:, np.where(is_right, width - columns, columns)]
    mirrored = half[(-rows) % height][:, np.where(is_right, width - columns, columns)]
    whole = np.where(is_right, mirrored, whole)
    one, other = pictures(*size)
    here, there = np.fft.fft2(one.double().numpy()), np.fft.fft2(other.double().numpy())
    inverse = np.fft.ifft2(np.where(whole, np.abs(there), np.abs(here)) * np.exp(1j * np.angle(here)))
    assert np.abs(inverse.imag).max() < 1e-9
    found = exchange_amplitude(one, other, beta=beta, window=window)  # type: ignore[arg-type]
    assert np.allclose(inverse.real, found.numpy(), atol=2e-3)


@pytest.mark.parametrize("window", WINDOWS)
def test_a_picture_exchanged_with_itself_stays(window: str) -> None:
    one, _ = pictures()
    assert torch.allclose(exchange_amplitude(one, one, beta=0.09, window=window), one, atol=1e-3)  # type: ignore[arg-type]


@pytest.mark.parametrize(("window", "beta"), [("centred", 0.0), ("centred", 0.05), ("corners", 0.05)])
def test_the_mean_becomes_the_targets(window: str, beta: float) -> None:
    one, other = pictures()
    found = exchange_amplitude(one, other, beta=beta, window=window)  # type: ignore[arg-type]
    assert torch.allclose(found.mean((2, 3)), other.mean((2, 3)), atol=1e-3)


def test_corners_without_a_side_exchange_nothing() -> None:
    one, other = pictures()
    assert torch.allclose(exchange_amplitude(one, other, beta=0.0, window="corners"), one, atol=1e-4 * 255)


def test_half_of_a_square_is_all_of_its_amplitude() -> None:
    one, other = pictures(32, 32)
    found = exchange_amplitude(one, other, beta=0.5)
    amplitude = torch.fft.rfft2(other).abs()
    assert torch.allclose(torch.fft.rfft2(found).abs(), amplitude, rtol=1e-3, atol=0.1)
    phase = torch.polar(torch.ones(()), torch.fft.rfft2(found).angle() - torch.fft.rfft2(one).angle())
    assert torch.allclose(phase.real, torch.ones(()), atol=1e-3)
