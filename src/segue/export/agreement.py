"""Whether an exported network predicts as the original: at several sizes and batches, by differences and by classes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from segue.evaluation.model import TrainedModel
from segue.evaluation.onnx_model import onnx_predictor
from segue.evaluation.predictors import SMALLEST, Predictor, whole
from segue.ops.resize import resize

BATCHES = (1, 3)

MOST_DIFFERENT = 1e-3
"""The largest difference of a probability that two runtimes may have from summing in another order."""

LEAST_ALIKE = 0.999
"""The smallest share of pixels of the same class: a tie may fall either way."""


@dataclass(frozen=True)
class Agreement:
    """One comparison.

    Attributes:
        shape: Pictures, height and width.
        largest: The largest difference of a probability.
        mean: The mean difference.
        same: The share of pixels of the same class, in [0, 1].
    """

    shape: tuple[int, int, int]
    largest: float
    mean: float
    same: float

    @property
    def holds(self) -> bool:
        """Whether the two predict the same, but for rounding."""
        return self.largest <= MOST_DIFFERENT and self.same >= LEAST_ALIKE


def compare_with(model: TrainedModel, path: Path) -> Iterator[Agreement]:
    """Compare a model's plain pass with an ONNX file in onnxruntime, for each size and batch.

    Raises:
        ValueError: If onnxruntime is missing, or does not run the file.
    """
    yield from agreements(model, onnx_predictor(path))


def agreements(model: TrainedModel, other: Predictor) -> Iterator[Agreement]:
    """The comparisons with any predictor that takes the same normalised pictures."""
    own, generator = whole(model.network), torch.Generator().manual_seed(0)
    for height, width in sizes(model.protocol.window):
        for batch in BATCHES:
            image = drawn((batch, height, width), generator)
            mine, theirs = own(image.to(model.device)).cpu(), other(image).cpu()
            apart = (mine - theirs).abs()
            same = (mine.argmax(1) == theirs.argmax(1)).float().mean()
            yield Agreement((batch, height, width), float(apart.max()), float(apart.mean()), float(same))


def sizes(window: tuple[int, int]) -> list[tuple[int, int]]:
    """Three sizes: training crops, something smaller with odd sides, and something larger of another shape."""
    height, width = window
    return [
        (height, width),
        (max(SMALLEST + 1, height // 2 + 1), max(SMALLEST + 3, 2 * width // 3 + 3)),
        (height + 45, width + width // 2 + 10),
    ]


def drawn(shape: tuple[int, int, int], generator: torch.Generator) -> Float[Tensor, "b 3 h w"]:
    """Normalised pictures of smooth blots with some noise, of the range that pictures have."""
    batch, height, width = shape
    coarse = torch.randn(batch, 3, 2 + height // 16, 2 + width // 16, generator=generator)
    return resize(coarse, (height, width)) + 0.1 * torch.randn(batch, 3, height, width, generator=generator)
