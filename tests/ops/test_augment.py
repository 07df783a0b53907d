"""Colour jitter and blur equal what DAFormer's pinned kornia computes."""

from pathlib import Path

import pytest
import torch
from tests.parity import numbers

from segue.ops import augment

MEAN = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
STD = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)


@pytest.mark.parametrize("case", [0, 1, 2])
def test_jitter(fixtures_dir: Path, case: int) -> None:
    data = numbers(fixtures_dir, "strong_augment")
    factors = data[f"jitter{case}/factors_bcsh"].float().expand(2, 4)
    out = augment.jitter(data["rgb01"], factors, tuple(data[f"jitter{case}/order"].tolist()))
    assert torch.allclose(out, data[f"jitter{case}/out"], atol=1e-5)


@pytest.mark.parametrize("sigma", ["0.3", "1.0"])
def test_blur(fixtures_dir: Path, sigma: str) -> None:
    data = numbers(fixtures_dir, "strong_augment")
    out = augment.blur(data["blur_in"], torch.tensor([float(sigma)]), largest_sigma=1.15)
    assert torch.allclose(out[..., ::2, ::2], data[f"blur_out_sigma{sigma}_every2"], atol=1e-6)


def test_a_shorter_kernel_blurs_the_same() -> None:
    image = torch.rand(1, 3, 512, 64, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor([1.15])
    short = augment.blur(image, sigma, largest_sigma=1.15)
    full = augment.blur(image, sigma, largest_sigma=100.0)
    assert augment.blur_kernel_side(512) == 51
    assert float((short - full).abs().max()) < 1e-6


def test_kernel_sides(fixtures_dir: Path) -> None:
    data = numbers(fixtures_dir, "strong_augment")
    sides = [augment.blur_kernel_side(side) for side in data["blur_sizes"].tolist()]
    assert sides == data["blur_kernel_sizes"].tolist()


def test_normalise_and_back(fixtures_dir: Path) -> None:
    data = numbers(fixtures_dir, "strong_augment")
    back = augment.denormalise(data["norm_in"], MEAN, STD)
    assert torch.allclose(back, data["denorm"], atol=1e-6)
    assert torch.allclose(augment.normalise(back, MEAN, STD), data["renorm"], atol=1e-5)


def test_neutral_factors_change_nothing() -> None:
    image = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    neutral = torch.tensor([[1.0, 1.0, 1.0, 0.0]]).expand(2, 4)
    assert torch.allclose(augment.jitter(image, neutral), image, atol=1e-5)
