"""The masked view: hidden pixels are exactly 0, visible ones and labels are untouched, each mode shows its pictures."""

import torch

from segue.methods.masking import MaskedConsistency, MaskSettings
from segue.types import View


def views() -> tuple[View, View]:
    torch.manual_seed(0)
    label = torch.randint(0, 5, (2, 2, 32, 32))
    image = torch.randn(2, 2, 3, 32, 32)
    weight = torch.full((2, 32, 32), 0.4)
    return View("source", image[0], label[0]), View("target", image[1], label[1], weight)


def test_the_target_is_masked_after_its_colours_changed() -> None:
    source, target = views()
    masked = MaskedConsistency(MaskSettings(block=8, ratio=0.5), lambda image: image + 10)(source, target)
    assert masked.name == "masked"
    assert masked.label is target.label and masked.weight is target.weight
    hidden = (masked.image == 0).all(1)
    assert 0 < hidden.float().mean() < 1
    shown = ~hidden[:, None].expand_as(masked.image)
    assert torch.equal(masked.image[shown], (target.image + 10)[shown])


def test_a_block_below_one_is_a_share_of_the_height() -> None:
    source, target = views()
    torch.manual_seed(3)
    share = MaskedConsistency(MaskSettings(block=1 / 4), None)(source, target)
    torch.manual_seed(3)
    pixels = MaskedConsistency(MaskSettings(block=8), None)(source, target)
    assert torch.equal(share.image, pixels.image)


def test_both_shows_one_half_of_each_domain() -> None:
    source, target = views()
    masked = MaskedConsistency(MaskSettings(block=8, ratio=0.0, pictures="both"), None)(source, target)
    assert torch.equal(masked.image, torch.stack([source.image[0], target.image[0]]))
    assert torch.equal(masked.label, torch.stack([source.label[0], target.label[0]]))
    assert masked.weight[0].eq(1).all() and masked.weight[1].eq(0.4).all()
