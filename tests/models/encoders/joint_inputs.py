"""Pictures and groups for tests of joint passes: two of the source, two of the target."""

import torch
from torch import Tensor


def pictures(size: tuple[int, int] = (64, 96)) -> Tensor:
    return torch.randn(4, 3, *size, generator=torch.Generator().manual_seed(1))


def groups(size: tuple[int, int] = (64, 96), draws: int = 1, cell: int = 1) -> Tensor:
    """Random groups, constant on squares of ``cell`` pixels."""
    generator = torch.Generator().manual_seed(2)
    cells = torch.randint(0, 2, (draws, 2, 2, size[0] // cell, size[1] // cell), generator=generator)
    return cells.repeat_interleave(cell, 3).repeat_interleave(cell, 4).to(torch.uint8)


def close(one: list[Tensor], other: list[Tensor], atol: float = 5e-4) -> bool:
    return all(torch.allclose(a, b, atol=atol) for a, b in zip(one, other, strict=True))
