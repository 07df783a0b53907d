"""Block masks equal the official ones draw for draw, hide the asked share, and differ from picture to picture."""

from pathlib import Path

import torch
from tests.parity import from_bits, numbers

from segue.ops.masking import keep_mask


def test_equal_to_the_official_masks(fixtures_dir: Path) -> None:
    data = numbers(fixtures_dir, "mic_mask")
    for case in range(4):
        ratio, block, seed = data[f"{case}/ratio_block_seed"].tolist()
        count, _, height, width = data[f"{case}/shape"].tolist()
        generator = torch.Generator().manual_seed(int(seed))
        mask = keep_mask((count, height, width), block, ratio, generator=generator)
        assert torch.equal(mask, from_bits(data[f"{case}/mask_bits"], width)[:, 0]), case


def test_the_share_that_stays_and_the_blocks() -> None:
    mask = keep_mask((50, 64, 64), 8.0, 0.7, generator=torch.Generator().manual_seed(0))
    assert abs(float(mask.float().mean()) - 0.3) < 0.02
    blocks = mask.view(50, 8, 8, 8, 8).permute(0, 1, 3, 2, 4).flatten(3)
    assert torch.equal(blocks.all(-1), blocks.any(-1))
    assert len({tuple(one.flatten().tolist()) for one in mask}) == 50


def test_nothing_and_everything() -> None:
    assert keep_mask((2, 16, 16), 4.0, 0.0).all()
    assert not keep_mask((2, 16, 16), 4.0, 1.0).any()
    assert keep_mask((1, 5, 7), 100.0, 0.0).shape == (1, 5, 7)
