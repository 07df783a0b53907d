"""What transformers over patches of one size share: a pyramid that makes four maps of four of their blocks."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from segue.models.encoders.encoder import Encoder
from segue.ops.attention import MeetingPlan
from segue.ops.free_windows import pooled_free
from segue.ops.recording import is_exported
from segue.ops.resize import resize

Grid = tuple[int, int]
"""Rows and columns of patches."""


class PatchEncoder(Encoder):
    """A plain transformer over patches, and a pyramid over the last block of each quarter of them.

    The quarters are its stages: settings that name stages mean them. Maps pass the transformer's last normalisation.
    The coarsest map has no new parameter: it is the last block's, averaged, so that a feature distance compares what
    was pretrained. The pyramid's other layers are new and random like a head's, and learn at its rate.

    A side that the patch does not divide is enlarged to the next multiple, by less than a patch. Padding would leave
    cells at the border that see nothing, and maps whose cells do not tile the picture.

    Under hybrid attention the cells of a source and a target picture meet in their groups. Tokens that stand for no
    cell belong to either group: they look at every key that their picture may look at, and every cell of those
    pictures may look at them, as in plain attention.

    Source: the pyramid follows ViTDet (Li et al., ECCV 2022), section 3.

    Args:
        vit: The transformer, under the names of its files.
        dim: Its width.
        patch: Pixels of a patch's side.
        blocks: The names of its blocks, first to last, at least four.
    """

    def __init__(self, vit: nn.Module, *, dim: int, patch: int, blocks: Sequence[str]) -> None:
        super().__init__()
        self.vit = vit
        self.patch = patch
        self.pyramid_head = Pyramid(dim)
        self.out_channels = (dim // 4, dim // 2, dim, dim)
        ends = (0, *quarters(len(blocks)))
        self._stages = tuple(
            tuple(f"vit.{name}" for name in blocks[start:end]) for start, end in pairwise(ends)
        )

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """The maps at strides 4, 8, 16 and 32."""
        return self._pyramid(image, None)

    def together(self, image: Tensor, plan: MeetingPlan) -> list[Tensor]:
        """The same maps for sources and targets whose tokens look at one another (multi-head hybrid attention).

        Source: STCT + MHA, section 3.2. There are no parameters beyond those of plain attention.

        Args:
            image: (2B,3,H,W), sources first.
            plan: Who looks at whom in each block.
        """
        return self._pyramid(image, plan)

    def quarter_maps(self, image: Float[Tensor, "b 3 h w"], plan: MeetingPlan | None) -> Sequence[Tensor]:
        """The four normalised maps (B,C,h,w) on the grid of patches.

        Args:
            image: Sides are multiples of the patch.
            plan: Who looks at whom, where sources and targets are seen together.
        """
        raise NotImplementedError

    @property
    def layers(self) -> tuple[tuple[str, ...], ...]:
        """The names of the blocks of each quarter."""
        return self._stages

    @property
    def pretrained(self) -> nn.Module:
        """The transformer without the pyramid."""
        return self.vit

    def block_map(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """The cells of what a block returned, (B,C,h,w)."""
        cells = tokens[:, self.prefix :].transpose(1, 2)
        return cells.reshape(cells.shape[0], cells.shape[1], *self.grid(size))

    def last_map(self, image: Tensor) -> Tensor:
        """The last block's normalised patches."""
        return self.quarter_maps(self._on_patches(image), None)[-1]

    def keep_summary(self) -> None:
        """Without the pyramid."""
        del self.pyramid_head

    def grid(self, size: tuple[int, int]) -> Grid:
        """The patches of a picture of that many rows and columns."""
        return (size[0] + self.patch - 1) // self.patch, (size[1] + self.patch - 1) // self.patch

    def _pyramid(self, image: Tensor, plan: MeetingPlan | None) -> list[Tensor]:
        height, width = image.shape[-2:]
        maps = self.quarter_maps(self._on_patches(image), plan)
        return self.pyramid_head(maps, [((height + s - 1) // s, (width + s - 1) // s) for s in self.strides])

    def _on_patches(self, image: Tensor) -> Tensor:
        rows, columns = self.grid((image.shape[-2], image.shape[-1]))
        return resize(image, (rows * self.patch, columns * self.patch))


def quarters(depth: int) -> tuple[int, ...]:
    """After how many of so many blocks each quarter of them ends."""
    return tuple(depth * part // 4 for part in (1, 2, 3, 4))


class Pyramid(nn.Module):
    """Four maps of one grid to four grids, fine to coarse: two enlarged by transposed convolutions, two as they are.

    Args:
        dim: Channels that come in; a quarter, a half, all and all of them go out.
    """

    learns_like_a_head = True

    def __init__(self, dim: int) -> None:
        super().__init__()
        half, quarter = dim // 2, dim // 4
        self.fine = nn.Sequential(
            nn.ConvTranspose2d(dim, half, 2, stride=2),
            ChannelNorm(half),
            nn.GELU(),
            nn.ConvTranspose2d(half, quarter, 2, stride=2),
            ChannelNorm(quarter),
        )
        self.middle = nn.Sequential(nn.ConvTranspose2d(dim, half, 2, stride=2), ChannelNorm(half))

    def forward(self, maps: Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
        """The maps on grids of these sizes.

        Args:
            maps: Four, from early to late blocks.
            sizes: Rows and columns of what comes out.

        Returns:
            Four maps, fine to coarse.
        """
        early, second, third, last = maps
        levels = [self.fine(early), self.middle(second), third]
        resized = [resize(level, size) for level, size in zip(levels, sizes, strict=False)]
        if is_exported():
            return [
                *resized,
                pooled_free(last, (torch.as_tensor(sizes[-1][0]), torch.as_tensor(sizes[-1][1]))),
            ]
        return [*resized, F.adaptive_avg_pool2d(last, sizes[-1])]


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation of every cell of a map over its channels."""

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """A map of the same size."""
        return super().forward(input.permute(0, 2, 3, 1).contiguous()).permute(0, 3, 1, 2)
