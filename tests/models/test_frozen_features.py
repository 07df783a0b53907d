"""Frozen features of SAM and of any encoder: weights, colours, picture sizes and widths are each network's own."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from segue.models.build import build_encoder
from segue.models.encoders.sam import COLOURS
from segue.models.frozen_features import build_frozen

SLOW = pytest.mark.slow  # importing the library takes seconds
HALF = ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
EVERY = [
    "vit_nano",
    "mit_nano",
    pytest.param("sam_tiny", marks=SLOW),
    pytest.param("dinov2_tiny", marks=SLOW),
    pytest.param("dinov3_tiny", marks=SLOW),
]


@pytest.mark.parametrize("name", EVERY)
def test_a_picture_has_the_same_features_however_it_was_normalised(name: str) -> None:
    grey = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0)) * 255
    found = []
    for mean, std in (HALF, COLOURS):
        torch.manual_seed(1)
        frozen = build_frozen(name, colours=(mean, std)).eval()
        with torch.no_grad():
            found.append(frozen((grey - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)))
        assert found[-1].shape[1] == frozen.channels
    torch.testing.assert_close(*found, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "size", "grid"),
    [
        ("vit_nano", None, (4, 6)),
        ("vit_nano", 192, (8, 12)),
        ("mit_nano", None, (2, 3)),
        pytest.param("sam_tiny", None, (8, 8), marks=SLOW),
        pytest.param("sam_tiny", 64, (4, 4), marks=SLOW),
        pytest.param("dinov2_tiny", 84, (4, 6), marks=SLOW),
        pytest.param("dinov3_tiny", None, (4, 6), marks=SLOW),
    ],
)
def test_grids(name: str, size: int | None, grid: tuple[int, int]) -> None:
    frozen = build_frozen(name, image_size=size, colours=HALF).eval()
    with torch.no_grad():
        assert tuple(frozen(torch.randn(2, 3, 64, 96)).shape) == (2, frozen.channels, *grid)


@torch.no_grad()
def test_the_file_of_an_encoder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = build_encoder("vit_nano").eval()
    save_file(encoder.pretrained.state_dict(), tmp_path / "vit.safetensors")
    image = torch.randn(1, 3, 64, 96)
    frozen = build_frozen("vit_nano", tmp_path / "vit.safetensors", colours=HALF).eval()
    assert torch.equal(frozen(image), encoder.last_map(image))


def test_a_name_that_nobody_has() -> None:
    with pytest.raises(ValueError, match="unknown frozen encoder 'vit_b'; did you mean"):
        build_frozen("vit_b", colours=HALF)
