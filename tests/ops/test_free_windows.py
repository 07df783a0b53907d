"""Windows of sizes that are known only later lie, and are put back, as those of ``ops.windows``."""

import pytest
import torch
import torch.nn.functional as F

from segue.ops.free_windows import (
    assemble_free,
    cut_free,
    enlarged_free,
    extended,
    pooled_free,
    window_lines,
)
from segue.ops.windows import assemble, cut, window_grid


@pytest.mark.parametrize("size", [(40, 70), (32, 32), (16, 90), (64, 48), (65, 33)])
@pytest.mark.parametrize(
    ("window", "stride"), [((32, 32), (16, 16)), ((32, 48), (20, 48)), ((24, 24), (7, 11))]
)
def test_they_are_the_same_windows(
    size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]
) -> None:
    maps = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    rows, columns = map(window_lines, map(torch.tensor, size), window, stride)
    pieces = cut_free(maps, rows, columns)
    windows = window_grid(size, window, stride=stride)
    expected = cut(maps, windows)
    assert torch.equal(pieces, expected.flatten(0, 1))
    changed = pieces * torch.rand(pieces.shape, generator=torch.Generator().manual_seed(1))
    again = assemble_free(changed, rows, columns, size=(torch.tensor(size[0]), torch.tensor(size[1])))
    wanted = assemble(changed.unflatten(0, (-1, 2)), windows, size=size)
    assert torch.allclose(again, wanted, atol=1e-6)


def test_a_picture_is_extended_by_its_last_row_and_column() -> None:
    image = torch.arange(12.0).view(1, 1, 3, 4)
    wide = extended(image, multiple=4, least=4)
    assert wide.shape == (1, 1, 4, 4) and torch.equal(wide[0, 0, 3], image[0, 0, 2])
    assert extended(image, multiple=2, least=8).shape == (1, 1, 8, 8)


@pytest.mark.parametrize("size", [(14, 14), (5, 20), (33, 9), (1, 14)])
def test_pooling_and_cubic_resizing_are_those_of_the_library(size: tuple[int, int]) -> None:
    maps = torch.randn(2, 3, 14, 14, generator=torch.Generator().manual_seed(0))
    free = (torch.tensor(size[0]), torch.tensor(size[1]))
    assert torch.allclose(pooled_free(maps, free), F.adaptive_avg_pool2d(maps, size), atol=1e-6)
    cubic = F.interpolate(maps, size=size, mode="bicubic", align_corners=False, antialias=True)
    assert torch.allclose(enlarged_free(maps, free), cubic, atol=1e-5)
