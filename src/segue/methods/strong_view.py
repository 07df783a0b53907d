"""A strongly changed view of a picture: moved, with other colours, and with a piece cut out."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from segue.methods.context import Context
from segue.methods.mixing import AugmentSettings, StrongAugment
from segue.ops.warp import inverse, sheared_turned_or_moved, visible, warped
from segue.settings import Settings, Share


class StrongViewSettings(Settings):
    """In the place of ProDA's RandAugment (two of fourteen changes) and its cutout."""

    flip: Share = 0.5
    move: Share = 1.0  # largest shear, turn or move, as a share of 0.1, 10 degrees or a tenth of the side
    cutout: Share = 0.25  # side of the square that is cut out, as a share of the shorter side
    augment: AugmentSettings = AugmentSettings()

    def build(self, context: Context) -> Callable[[Tensor], "Seen"]:
        """What draws a view of normalised pictures (B,3,H,W)."""
        colours = StrongAugment(self.augment, *context.colours)
        return lambda image: self._see(image, colours)

    def _see(self, image: Tensor, colours: StrongAugment) -> "Seen":
        count, device = len(image), image.device
        kind, amount, mirror = torch.rand(3, count, device=device)
        to_view = sheared_turned_or_moved(kind, self.move * (2 * amount - 1), mirror < self.flip)
        to_picture = inverse(to_view)
        size = (image.shape[-2], image.shape[-1])
        shown = visible(torch.ones_like(image[:, 0], dtype=torch.bool), to_picture)
        shown = shown & self._uncut(count, size, device)
        return Seen(colours(warped(image, to_picture)) * shown[:, None], to_picture, shown)

    def _uncut(self, count: int, size: tuple[int, int], device: torch.device) -> Bool[Tensor, "b h w"]:
        side = self.cutout * min(size)
        height, width = size
        top, left = torch.rand(2, count, 1, device=device)
        row, column = (torch.arange(length, device=device)[None] for length in size)
        down = (row >= top * height - side / 2) & (row < top * height + side / 2)
        across = (column >= left * width - side / 2) & (column < left * width + side / 2)
        return ~(down[:, :, None] & across[:, None])


@dataclass(frozen=True)
class Seen:
    """A view, and how maps of the picture are brought into it.

    Attributes:
        image: Zero, which is the mean colour, where nothing of the picture is seen.
        to_picture: From places in the view to places in the picture.
        valid: False where nothing of the picture is seen.
    """

    image: Float[Tensor, "b 3 h w"]
    to_picture: Float[Tensor, "b 2 3"]
    valid: Bool[Tensor, "b h w"]

    def maps(self, maps: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k h w"]:
        """Maps of the picture at its own size, cell by cell; zero where nothing is seen."""
        return warped(maps, self.to_picture, nearest=True) * self.valid[:, None]

    def sees(self, valid: Bool[Tensor, "b h w"] | None) -> Bool[Tensor, "b h w"]:
        """Where the view shows what is valid in the picture."""
        return self.valid if valid is None else self.valid & visible(valid, self.to_picture)
