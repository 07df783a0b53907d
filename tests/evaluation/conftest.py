"""Networks small enough to work out by hand, and labelled pictures in memory."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from segue.types import Output


class Pixelwise(nn.Module):
    """A segmenter that looks at single pixels, so that neither windows nor mirroring change what it says.

    Args:
        classes: How many to tell apart.
        stride: Keeps every such row and column of the logits, as heads do.
    """

    def __init__(self, classes: int = 3, stride: int = 1) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(classes)
        self.classify = nn.Conv2d(3, classes, 1)
        self.classify.weight.data = torch.randn(classes, 3, 1, 1, generator=generator)
        self.classify.bias.data = torch.randn(classes, generator=generator)
        self.norm = nn.BatchNorm2d(3)
        self.dropout = nn.Dropout(0.5)
        self.stride = stride
        self.seen: list[tuple[int, ...]] = []

    def forward(self, image: Tensor) -> Output:
        self.seen.append(tuple(image.shape))
        logits = self.dropout(self.classify(self.norm(image)))[..., :: self.stride, :: self.stride]
        return Output(logits, [], image, [])


class InMemory:
    """Labelled pictures; the label can be larger than the image."""

    def __init__(self, images: list[Tensor], labels: list[Tensor]) -> None:
        self.images = images
        self.labels = labels

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        return f"town/{index}"

    def image(self, index: int) -> Tensor:
        return self.images[index]

    def label(self, index: int) -> Tensor:
        return self.labels[index]


@pytest.fixture
def pixelwise() -> Callable[..., Pixelwise]:
    return Pixelwise


@pytest.fixture
def in_memory() -> Callable[[list[Tensor], list[Tensor]], InMemory]:
    return InMemory


@pytest.fixture
def picture() -> Callable[..., Tensor]:
    """A random normalised image of a size."""

    def make(height: int, width: int, batch: int = 1) -> Tensor:
        return torch.randn(
            batch, 3, height, width, generator=torch.Generator().manual_seed(height * 997 + width)
        )

    return make
