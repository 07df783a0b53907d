"""Likeness and CKA: bounds, what they do not depend on, and the duality of channels and tokens."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from segue.ops.likeness import likeness, linear_cka

KINDS = ("channel", "token", "both")


def maps(seed: int, cells: int = 12, channels: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(cells, channels, generator=generator),
        torch.randn(cells, channels, generator=generator),
    )


@given(st.integers(0, 999), st.sampled_from(KINDS))
def test_bounds_and_sign(seed: int, kind: str) -> None:
    one, other = maps(seed)
    assert -1.0001 <= float(likeness(one, other, kind)) <= 1.0001
    torch.testing.assert_close(likeness(one, one, kind), torch.ones(()))
    torch.testing.assert_close(likeness(one, -one, kind), -torch.ones(()))


@given(st.integers(0, 999))
def test_channels_ignore_positive_scales_and_the_order_of_cells(seed: int) -> None:
    one, other = maps(seed)
    scales = torch.rand(5, generator=torch.Generator().manual_seed(seed)) + 0.1
    order = torch.randperm(12, generator=torch.Generator().manual_seed(seed))
    expected = likeness(one, other, "channel")
    torch.testing.assert_close(likeness(one * scales, other, "channel"), expected)
    torch.testing.assert_close(likeness(one[order], other[order], "channel"), expected)


@given(st.integers(0, 999))
def test_the_channels_of_a_map_are_the_tokens_of_its_transpose(seed: int) -> None:
    one, other = maps(seed)
    torch.testing.assert_close(likeness(one, other, "channel"), likeness(one.T, other.T, "token"))


def test_channel_likeness_is_the_mean_cosine_of_columns_by_hand() -> None:
    one, other = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[1.0, 3.0], [1.0, 4.0]])
    assert float(likeness(one, other, "channel")) == pytest.approx((1 / 2**0.5 + 4 / 5) / 2)


def test_a_map_of_zeros_is_like_nothing() -> None:
    one, _ = maps(0)
    assert float(likeness(one, torch.zeros_like(one), "channel")) == 0
    assert float(linear_cka(one, torch.ones_like(one))) == 0


@given(st.integers(0, 999), st.integers(1, 7))
def test_cka_ignores_rotation_scale_and_shift(seed: int, width: int) -> None:
    one, _ = maps(seed)
    other = torch.randn(12, width, generator=torch.Generator().manual_seed(seed + 1))
    turned = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(seed)))[0]
    expected = linear_cka(one, other)
    assert 0 <= float(expected) <= 1.0001
    torch.testing.assert_close(linear_cka(3.0 * one @ turned + 2.0, other), expected, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(linear_cka(one, one @ turned), torch.ones(()))
    torch.testing.assert_close(linear_cka(other, one), expected)


def test_cka_equals_its_definition_by_centred_gram_matrices() -> None:
    """Kornblith et al., equation 3, in float64."""
    one, other = (part.double() for part in maps(3))
    centring = torch.eye(12, dtype=torch.float64) - 1 / 12
    left, right = (centring @ part @ part.T @ centring for part in (one, other))
    expected = (left * right).sum() / (left.norm() * right.norm())
    torch.testing.assert_close(linear_cka(one.float(), other.float()).double(), expected)
