"""Attention by plain products, which a CPU takes in bf16, gives what the library's fused one gives in float32."""

import pytest
import torch
import torch.nn.functional as F

from segue.ops import attention


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("most", [attention.MOST_SCORES, 0])
def test_values_and_gradients(dtype: torch.dtype, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "MOST_SCORES", most)
    torch.manual_seed(0)
    exact = [torch.randn(2, count, 2, 32).transpose(1, 2).requires_grad_() for count in (64, 16, 16)]
    given = [one.detach().to(dtype).requires_grad_() for one in exact]
    mixed, wanted = attention.attended(*given), F.scaled_dot_product_attention(*exact)
    assert mixed.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 0.02
    torch.testing.assert_close(mixed.float(), wanted, atol=tolerance, rtol=tolerance)
    mixed.float().square().sum().backward()
    wanted.square().sum().backward()
    for one, other in zip(given, exact, strict=True):
        assert one.grad is not None and other.grad is not None
        assert float((one.grad.float() - other.grad).norm()) < tolerance * float(other.grad.norm())


def test_bf16_takes_the_products(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("the fused attention was called")

    monkeypatch.setattr(F, "scaled_dot_product_attention", refused)
    some = torch.randn(1, 1, 4, 8)
    attention.attended(*[some.bfloat16()] * 3)
    with pytest.raises(AssertionError, match="was called"):
        attention.attended(some, some, some)
