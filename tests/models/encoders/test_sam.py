"""SAM's encoder equals the official one under its official names, whole files and other sizes included."""

from pathlib import Path

import pytest
import torch
from tests.parity import numbers

from segue.models.encoders import sam


@pytest.fixture
def official(fixtures_dir: Path, monkeypatch: pytest.MonkeyPatch):
    tiny = {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "global_attn_indexes": [1],
        "image_size": 64, "patch_size": 8, "output_channels": 16, "window_size": 3,
    }  # fmt: skip
    monkeypatch.setitem(sam.SIZES, "fixture", tiny)
    return numbers(fixtures_dir, "sam_encoder_tiny")


def test_equal_to_the_official_encoder(official, tmp_path: Path) -> None:
    state = {
        f"image_encoder.{n.removeprefix('state/')}": v for n, v in official.items() if n.startswith("state/")
    }
    torch.save({**state, "mask_decoder.weight": torch.zeros(1)}, tmp_path / "sam.pth")
    encoder = sam.build_sam("fixture", tmp_path / "sam.pth").eval()
    with torch.no_grad():
        found = encoder(official["input"])
    assert torch.allclose(found, official["out"], atol=2e-5)
    assert encoder.channels == 16


def test_another_picture_size(official, tmp_path: Path) -> None:
    state = {n.removeprefix("state/"): v for n, v in official.items() if n.startswith("state/")}
    torch.save(state, tmp_path / "sam.pth")
    larger = sam.build_sam("fixture", tmp_path / "sam.pth", image_size=96).eval()
    assert larger(torch.zeros(1, 3, 50, 70)).shape == (1, 16, 12, 12)


def test_files_that_do_not_fit(official, tmp_path: Path) -> None:
    torch.save({"image_encoder.pos_embed": torch.zeros(1, 8, 8, 32)}, tmp_path / "sam.pth")
    with pytest.raises(ValueError, match=r"missing \(patch_embed"):
        sam.build_sam("fixture", tmp_path / "sam.pth")
    with pytest.raises(ValueError, match="unknown SAM encoder 'vit_c'; did you mean 'vit_"):
        sam.build_sam("vit_c")
