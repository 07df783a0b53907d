"""Whole networks in the official order of operations, on copies of ours: at one resolution, and HRDA's at two."""

import copy
from typing import cast

import torch
from torch import Tensor, nn

from segue.bench.official import PlainEncoder, PlainHead
from segue.bench.stopwatch import Stopwatch
from segue.models.encoders.mit import MixTransformer
from segue.models.heads.daformer import DaformerHead
from segue.models.multi_resolution import MultiResolution
from segue.models.segmenter import Segmenter
from segue.ops.resize import resize
from segue.ops.windows import Window, window_grid
from segue.types import Supervised


class PlainSegmenter(nn.Module):
    """An encoder and a head in the official order, on a copy of a network's parameters."""

    def __init__(self, network: Segmenter) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        self.encoder = PlainEncoder(cast(MixTransformer, self.network.encoder))
        self.head = PlainHead(cast(DaformerHead, self.network.head))

    def forward(self, image: Tensor) -> Tensor:
        """Logits as a teacher makes them."""
        return self.head(self.encoder(image))[0]

    def trained(self, image: Tensor, watch: Stopwatch) -> tuple[list[Supervised], list[Tensor]]:
        """What the loss is for, and the encoder's maps; those that the feature distance compares come first."""
        with watch.measure("encoder"):
            features = self.encoder(image)
        with watch.measure("head"):
            logits: Tensor = self.head(features)[0]
        return [Supervised(logits)], features

    def compared(self, image: Tensor) -> Tensor:
        """The coarsest map of what the feature distance compares."""
        return self.encoder(image)[-1]


class PlainMultiResolution(PlainSegmenter):
    """HRDA: all of a teacher's windows in one batch, the detail's prediction on a canvas as large as the picture."""

    def __init__(self, network: MultiResolution) -> None:
        super().__init__(network)
        self.plan = cast(MultiResolution, self.network)
        self.attention = PlainHead(cast(DaformerHead, self.plan.attention_head))

    def forward(self, image: Tensor) -> Tensor:
        """Logits as a teacher makes them, from overlapping windows."""
        features = self.encoder(self._small(image))
        context, weight = self.head(features)[0], self.attention(features)[0].sigmoid()
        stride = (self.plan.detail[0] // 2, self.plan.detail[1] // 2)
        windows = window_grid((image.shape[-2], image.shape[-1]), self.plan.detail, stride=stride)
        pieces: Tensor = self.head(self.encoder(torch.cat([image[(..., *window)] for window in windows])))[0]
        canvas = self._canvas(context)
        count = torch.zeros_like(canvas[:, :1])
        for window, piece in zip(windows, pieces.split(len(image)), strict=True):
            cells = (..., *_cells(window, 4))
            canvas[cells] += piece
            count[cells] += 1
        return self._fused(context, weight, canvas / count)

    def trained(self, image: Tensor, watch: Stopwatch) -> tuple[list[Supervised], list[Tensor]]:
        """The fused prediction and that of one random window; the context's maps come first."""
        with watch.measure("encoder"):
            far = self.encoder(self._small(image))
            window = self.plan.draw_window((image.shape[-2], image.shape[-1]))
            near = self.encoder(image[(..., *window)])
        with watch.measure("head"):
            context, weight = self.head(far)[0], self.attention(far)[0].sigmoid()
            detail: Tensor = self.head(near)[0]
            inside = torch.zeros_like(weight)
            inside[(..., *_cells(window, 4 * self.plan.shrinks))] = 1
            canvas = self._canvas(context)
            canvas[(..., *_cells(window, 4))] = detail
            fused = self._fused(context, weight * inside, canvas)
        share = self.plan.detail_share
        return [Supervised(fused, None, 1 - share), Supervised(detail, window, share)], [*far, *near]

    def compared(self, image: Tensor) -> Tensor:
        """The context's coarsest map."""
        return super().compared(self._small(image))

    def _small(self, image: Tensor) -> Tensor:
        return resize(image, (image.shape[-2] // self.plan.shrinks, image.shape[-1] // self.plan.shrinks))

    def _canvas(self, context: Tensor) -> Tensor:
        rows, columns = (side * self.plan.shrinks for side in context.shape[-2:])
        return context.new_zeros(*context.shape[:2], rows, columns)

    def _fused(self, context: Tensor, weight: Tensor, detail: Tensor) -> Tensor:
        size = (detail.shape[-2], detail.shape[-1])
        return resize(weight, size) * detail + resize((1 - weight) * context, size)


def plain(network: Segmenter) -> PlainSegmenter:
    """The network's counterpart in the official order, with parameters of its own."""
    if isinstance(network, MultiResolution):
        return PlainMultiResolution(network)
    return PlainSegmenter(network)


def _cells(window: Window, pixels: int) -> Window:
    rows, columns = (slice(side.start // pixels, side.stop // pixels) for side in window)
    return rows, columns
