"""What the student is shown with parts hidden, to name them all the same."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from segue.ops.masking import keep_mask
from segue.settings import Positive, Settings, Share
from segue.types import View


class MaskSettings(Settings):
    """MIC's masked view."""

    block: Positive = 1 / 16  # b: pixels from 1 on, below that a share of the crop's height
    ratio: Share = 0.7  # r: share of the blocks that is hidden
    pictures: Literal["target", "both"] = "target"  # both: half a batch of each domain
    augment: bool = True  # colour changes of its own
    # Whether the student's running batch statistics follow the masked pictures. They do in the official code, so that
    # the student is scored by statistics of pictures that are mostly hidden.
    moves_statistics: bool = False

    def build(self, augment: Callable[[Tensor], Tensor] | None) -> "MaskedConsistency":
        """With the colour changes of the method, if there are any and they are wanted."""
        return MaskedConsistency(self, augment if self.augment else None)


class MaskedConsistency:
    """The masked view of MIC: what the teacher saw whole, the student has to name from what is left of it.

    Hidden pixels become 0 after normalisation, the mean colour.

    Source: MIC (Hoyer et al., CVPR 2023), section 3.2, equations 5 to 8; https://arxiv.org/abs/2212.01322. The
    official code masks the target with colours changed anew for synthetic sources (its "separatetrgaug"), and one
    half source, one half target without a change of colours for sources that are photographs ("separate").

    Args:
        augment: Changes the colours before masking; None for no change.
    """

    def __init__(self, settings: MaskSettings, augment: Callable[[Tensor], Tensor] | None) -> None:
        self.settings = settings
        self.augment = augment

    def __call__(self, source: View, target: View) -> View:
        """The masked view of an unmixed target view, or of both."""
        wanted = self.settings
        seen = _half_of_each(source, target) if wanted.pictures == "both" else target
        image = seen.image if self.augment is None else self.augment(seen.image)
        count, _, height, width = image.shape
        block = wanted.block if wanted.block >= 1 else wanted.block * height
        visible = keep_mask((count, height, width), block, wanted.ratio, device=image.device)
        return View(
            "masked",
            image * visible[:, None],
            seen.label,
            seen.weight,
            soft=seen.soft,
            moves_statistics=wanted.moves_statistics,
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
