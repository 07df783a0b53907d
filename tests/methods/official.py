"""How the official implementations' recorded steps are read: names, masks, and what counts as equal."""

from collections.abc import Iterator, Sequence

import torch
from tests.parity import from_bits
from torch import Tensor

from segue.ops import mixing
from segue.types import View

THINGS = [6, 7, 11, 12, 13, 14, 15, 16, 17, 18]
Data = dict[str, Tensor]
NAMES = (
    ("backbone.", "encoder."),
    ("decode_head.head.", "head."),
    ("decode_head.scale_attention.", "attention_head."),
    ("decode_head.", "head."),
)


def part(data: Data, prefix: str) -> Data:
    """Tensors under a prefix, under our names."""
    found: Data = {}
    for name, value in data.items():
        if name.startswith(prefix):
            own = name.removeprefix(prefix)
            for official, ours in NAMES:
                own = own.replace(official, ours)
            found[own] = value
    return found


class GivenMix:
    """ClassMix with the masks that the official code drew."""

    def __init__(self, masks: Sequence[Tensor]) -> None:
        self.masks: Iterator[Tensor] = iter(masks)

    def __call__(self, source: View, target: View) -> View:
        assert source.label is not None and target.label is not None and target.weight is not None
        mask = from_bits(next(self.masks)).squeeze(1)
        return View(
            "target",
            mixing.paste(mask, source.image, target.image),
            mixing.paste(mask, source.label, target.label),
            mixing.paste(mask, torch.ones_like(target.weight), target.weight),
        )


def compare(mine: Data, official: Data) -> None:
    """Within two learning rates a step: AdamW's first updates are the sign of the gradient, however small."""
    assert official.keys() <= mine.keys()
    close = 0
    for name, value in official.items():
        rate = 6e-4 if name.startswith("head") else 6e-5
        difference = (mine[name].float() - value.float()).abs()
        assert float(difference.max()) <= 4 * rate + 1e-4 * float(value.abs().float().max()), name
        close += int((difference < 1e-6 + 1e-5 * value.abs().float()).float().mean() > 0.99)
    assert close > 0.8 * len(official)
