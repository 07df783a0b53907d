"""Masked consistency: blocks of a picture are hidden, and the student has to name them all the same."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from segue.ops.masking import keep_mask
from segue.settings import Positive, Settings, Share
from segue.types import View


class MaskSettings(Settings):
    """MIC's masked view."""

    block: Positive = 1 / 16  # b: side of a block, in pixels, or below 1 as a share of the crop's height
    ratio: Share = 0.7  # r: share of the blocks that are hidden
    pictures: Literal["target", "both"] = "target"  # both: half a batch of each domain
    augment: bool = True  # change its colours, independently of the target view's
    # Whether masked pictures move the student's running batch statistics. They do in the official code, which thus
    # scores the student by statistics of mostly hidden pictures.
    moves_statistics: bool = False

    def build(self, augment: Callable[[Tensor], Tensor] | None) -> "MaskedConsistency":
        """Build it with the method's colour changes, if there are any and they are wanted."""
        return MaskedConsistency(self, augment if self.augment else None)


@dataclass(frozen=True)
class MaskedConsistency:
    """MIC's masked view: the teacher saw the whole picture, the student names it from the blocks that are left.

    Hidden pixels become 0 after normalisation, which is the mean colour.

    Source: MIC (Hoyer et al., CVPR 2023), section 3.2, equations 5 to 8; https://arxiv.org/abs/2212.01322. For
    synthetic sources the official code masks the target, with its colours changed once more ("separatetrgaug"); for
    photographs it masks half a batch of each domain, with unchanged colours ("separate").
    """

    settings: MaskSettings
    augment: Callable[[Tensor], Tensor] | None

    def __call__(self, source: View, target: View) -> View:
        """The masked view of the unmixed target, or of half a batch of each domain."""
        settings = self.settings
        seen = _half_of_each(source, target) if settings.pictures == "both" else target
        image = seen.image if self.augment is None else self.augment(seen.image)
        count, _, height, width = image.shape
        block = settings.block if settings.block >= 1 else settings.block * height
        visible = keep_mask((count, height, width), block, settings.ratio, device=image.device)
        return View(
            "masked",
            image * visible[:, None],
            seen.label,
            seen.weight,
            soft=seen.soft,
            moves_statistics=settings.moves_statistics,
        )


def _half_of_each(source: View, target: View) -> View:
    assert source.label is not None and target.label is not None and target.weight is not None
    assert target.soft is None, "the engine refuses probabilities for a view of both domains"
    half = len(source.image) // 2
    rest = len(target.image) - half
    return View(
        "masked",
        torch.cat([source.image[:half], target.image[:rest]]),
        torch.cat([source.label[:half], target.label[:rest]]),
        torch.cat([torch.ones_like(target.weight[:half]), target.weight[:rest]]),
    )
