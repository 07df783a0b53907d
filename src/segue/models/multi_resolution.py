"""HRDA: one network sees a picture whole at low resolution and in windows at high resolution, and fuses both."""

from collections.abc import Iterator, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from segue.memory import free_bytes
from segue.models.batch_norms import BatchNorm
from segue.models.encoders.encoder import Encoder
from segue.models.segmenter import Segmenter, by_domain
from segue.ops.attention import MeetingPlan
from segue.ops.free_windows import assemble_free, cut_free, extended, window_lines
from segue.ops.recording import is_exported
from segue.ops.resize import resize
from segue.ops.windows import Window, assemble, cut, window_grid
from segue.types import HybridRules, Output, Supervised

Size = tuple[int, int]

COARSEST = 32
"""The stride of an encoder's last map: no side of the context may be smaller."""

PASS_BYTES = 1024
"""The memory that an encoder's pass without gradient takes for a pixel of its picture: an estimate from above.

MiT's widest map holds 256 float32 numbers for 16 pixels and is there a few times at once.
"""


class MultiResolution(Segmenter):
    """A context pass over the shrunk picture and detail passes over full-resolution windows, fused by attention.

    In training mode one random window is seen in detail, the same for the whole batch, and the fused prediction
    and the window's own share the loss. In evaluation mode, in which a teacher always is, overlapping windows cover
    the picture. Callers need not know: windows and shares are in ``Output.supervised``.

    Source: HRDA (Hoyer et al., ECCV 2022), section 3, equations 5 to 11; https://arxiv.org/abs/2204.13132.

    Note:
        The official code never draws the last possible window of a picture; here it is drawn like the others.

    Args:
        attention_head: From the context's features to the attention, one map or one for each class; None
            weights both predictions equally.
        detail: Height and width of the detail window in pixels.
        context_scale: Factor on the picture's sides for the context pass; its inverse is a whole number.
        detail_share: The detail prediction's share of the loss; the fused one has the rest.
        overlap: Share of a detail window that the next one covers too, in [0, 1).

    Raises:
        ValueError: If the detail window does not lie on the context's grid.
    """

    def __init__(
        self,
        encoder: Encoder,
        head: nn.Module,
        *,
        attention_head: nn.Module | None,
        detail: Size,
        context_scale: float,
        detail_share: float,
        overlap: float,
    ) -> None:
        super().__init__(encoder, head)
        self.attention_head = attention_head
        self.detail: Size = (detail[0], detail[1])
        self.shrinks = round(1 / context_scale)
        self.detail_share = detail_share
        self.overlap = overlap
        self.head_stride = cast(int, head.stride)
        self.grid = self.head_stride * self.shrinks
        if self.shrinks * context_scale != 1:
            raise ValueError(f"context_scale {context_scale}: give 1, 1/2, 1/3, 1/4, ...")
        if min(detail) < self.grid or any(side % self.grid for side in detail):
            raise ValueError(
                f"detail window {detail[0]}x{detail[1]}: its sides must be multiples of {self.grid},"
                " the pixels under a cell of the context's prediction; change data.crop or multi_resolution.detail"
            )

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Output:
        """Predict every class on the detail's grid."""
        size = (image.shape[-2], image.shape[-1])
        image = self._on_grid(image)

        features: list[Tensor] = self.encoder(shrunk(image, self.shrinks))
        if self.training:
            window = self.draw_window((image.shape[-2], image.shape[-1]))
            return self._trained(features, self.encoder(image[(..., *window)]), window)
        context, embedding = self.head(features)
        attention = self._attention(features, context)
        fused = self._fuse(context, attention, self._detail_everywhere(image), None)
        if is_exported() or image.shape[-2:] != size:
            # The padding is cut off again, which is exact only at the picture's full resolution.
            fused = resize(fused, (image.shape[-2], image.shape[-1]))[..., : size[0], : size[1]]
        return Output(fused, features, embedding, [Supervised(fused)])

    def together(self, images: list[Tensor], groups: Tensor | None, rules: HybridRules) -> Iterator[Output]:
        """Predict source and target pictures in passes in which their tokens meet, at either resolution.

        Source and target are seen in detail through the same window, and so are the groups.

        Args:
            images: Sources and targets (B,3,H,W), in this order.
            groups: As in ``types.Joint``.

        Yields:
            The source's output, then the target's.
        """
        both = self._on_grid(torch.cat(images))
        window = self.draw_window((both.shape[-2], both.shape[-1]))
        inside = None if groups is None else groups[(..., *window)]
        context = self.encoder.together(shrunk(both, self.shrinks), MeetingPlan(groups, rules))
        detail = self.encoder.together(both[(..., *window)], MeetingPlan(inside, rules))
        for far, near in zip(by_domain(context), by_domain(detail), strict=True):
            yield self._trained(far, near, window)

    def _trained(
        self, context_features: list[Tensor], detail_features: list[Tensor], window: Window
    ) -> Output:
        """A training pass's predictions from the features of the context and of one detail window."""
        context, embedding = self.head(context_features)
        attention = self._attention(context_features, context)
        detail: Tensor = self.head(detail_features)[0]
        fused = self._fuse(context, attention, detail, window)
        supervised = [
            Supervised(fused, None, 1 - self.detail_share),
            Supervised(detail, window, self.detail_share),
        ]
        return Output(fused, context_features, embedding, supervised)

    def feature_network(self) -> nn.Module:
        """From an image to ``Output.features``: those of the context."""
        return nn.Sequential(Shrink(self.shrinks), self.encoder)

    def draw_window(self, size: Size) -> Window:
        """A random detail window on the grid; the whole picture if it is no larger than the window.

        Source: HRDA, section 3.2: offsets are multiples of the pixels under a cell of the context's prediction.
        """
        rows, columns = (self._draw_side(whole, side) for whole, side in zip(size, self.detail, strict=True))
        return rows, columns

    def _draw_side(self, whole: int, side: int) -> slice:
        side = min(side, whole)
        start = self.grid * int(torch.randint(0, (whole - side) // self.grid + 1, ()))
        return slice(start, start + side)

    def _on_grid(self, image: Tensor) -> Tensor:
        """The picture, padded by repeating its right and lower borders until its sides are multiples of the grid."""
        least = COARSEST * self.shrinks
        if is_exported():
            return extended(image, multiple=self.grid, least=least)
        height, width = image.shape[-2:]
        below, right = (max(least, -(-side // self.grid) * self.grid) - side for side in (height, width))
        if not (below or right):
            return image
        if self.training:
            raise ValueError(
                f"crops of {height}x{width}: a multi-resolution network trains on multiples of {self.grid},"
                f" from {least}; change data.crop"
            )
        return F.pad(image, (0, right, 0, below), mode="replicate")

    def _attention(self, features: list[Tensor], context: Tensor) -> Tensor:
        """The detail's weight at every cell of the context's prediction, in [0, 1]."""
        if self.attention_head is None:
            return torch.full_like(context[:, :1], 0.5)
        return self.attention_head(features)[0].sigmoid()

    def _fuse(self, context: Tensor, attention: Tensor, detail: Tensor, window: Window | None) -> Tensor:
        """Equations 8 to 10: the resized context, and the detail weighted by attention where there is any."""
        size = (context.shape[-2] * self.shrinks, context.shape[-1] * self.shrinks)
        if window is not None:
            inside = torch.zeros_like(context[:1, :1])
            inside[(..., *_cells(window, self.grid))] = 1.0
            attention = attention * inside
            canvas = detail.new_zeros(*detail.shape[:2], *size)
            canvas[(..., *_cells(window, self.head_stride))] = detail
            detail = canvas
        return resize(attention, size) * detail + resize((1.0 - attention) * context, size)

    def _detail_everywhere(self, image: Tensor) -> Tensor:
        """The detail prediction of overlapping windows, averaged."""
        size = (image.shape[-2], image.shape[-1])
        strides = [
            max(self.grid, int(side * (1 - self.overlap)) // self.grid * self.grid) for side in self.detail
        ]
        if is_exported():
            return self._detail_at_once(image, strides)
        windows = window_grid(size, self.detail, stride=(strides[0], strides[1]))
        cells = [_cells(window, self.head_stride) for window in windows]
        pieces = self._detail_of(cut(image, windows))
        return assemble(pieces, cells, size=(size[0] // self.head_stride, size[1] // self.head_stride))

    def _detail_at_once(self, image: Tensor, strides: Sequence[int]) -> Tensor:
        """The same for a picture of any size, with all windows in one batch."""
        sides = [torch.as_tensor(side) for side in image.shape[-2:]]
        rows, columns = map(window_lines, sides, self.detail, strides)
        logits: Tensor = self.head(self.encoder(cut_free(image, rows, columns)))[0]
        stride = self.head_stride
        height, width = (torch.div(side, stride, rounding_mode="floor") for side in sides)
        cells = [torch.div(lines[:, ::stride], stride, rounding_mode="floor") for lines in (rows, columns)]
        return assemble_free(logits, cells[0], cells[1], size=(height, width))

    def _detail_of(self, parts: Tensor) -> Iterator[Tensor]:
        """The detail prediction of each window (n,b,3,h,w), as many windows at a time as memory has room for.

        A network that normalises by its batch, such as an official teacher, must see all windows as one batch.
        """
        batch = parts.shape[1]
        at_once = windows_at_once(parts)
        if _uses_batch_statistics(self.encoder):
            at_once = len(parts)
        features = (self.encoder(some.flatten(0, 1)) for some in parts.split(at_once))
        if _uses_batch_statistics(self.head):
            features = iter([_joined(features)])
        for some in features:
            yield from self.head(some)[0].float().unflatten(0, (-1, batch))


class Shrink(nn.Module):
    """An image at a whole fraction of its size."""

    def __init__(self, reduction: int) -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h2 w2"]:
        """The smaller image."""
        return shrunk(image, self.reduction)


def shrunk(image: Float[Tensor, "b 3 h w"], reduction: int) -> Float[Tensor, "b 3 h2 w2"]:
    """An image at a whole fraction of its size, bilinear as in the official code."""
    return resize(image, (image.shape[-2] // reduction, image.shape[-1] // reduction))


def windows_at_once(parts: Float[Tensor, "n b 3 h w"]) -> int:
    """How many windows to encode together: each pass costs a GPU thousands of launches, and each window memory.

    A processor gains nothing from more than one. Half of the free memory is taken at most, and windows go one by one
    where results must not depend on how much is free.
    """
    if parts.device.type != "cuda" or torch.are_deterministic_algorithms_enabled():
        return 1
    room = (free_bytes(parts.device) or 0) / 2
    return max(1, min(len(parts), int(room // (PASS_BYTES * parts[0, :, 0].numel()))))


def _cells(window: Window, pixels: int) -> Window:
    """A window of pixels as a window of cells, each ``pixels`` wide."""
    rows, columns = window
    return (
        slice(rows.start // pixels, rows.stop // pixels),
        slice(columns.start // pixels, columns.stop // pixels),
    )


def _joined(features: Iterator[list[Tensor]]) -> list[Tensor]:
    """Several batches' maps as one batch's, level by level."""
    return [torch.cat(level) for level in zip(*features, strict=True)]


def _uses_batch_statistics(network: nn.Module) -> bool:
    return any(module.training for module in network.modules() if isinstance(module, BatchNorm))
