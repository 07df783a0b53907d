"""Which picture comes next: every one equally often, or pictures with rare classes more often."""

import hashlib
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from segue.data.statistics import ClassStatistics


@runtime_checkable
class Sampler(Protocol):
    """Draws pictures; a draw changes no state, so that it depends on the generator alone."""

    def draw(self, generator: Generator) -> tuple[int, int | None]:
        """A picture's index, and the class that it was drawn for, if any."""
        ...


def seeded(key: str) -> Generator:
    """Random numbers that follow from a text; those of any two texts are independent."""
    number = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") >> 1
    return torch.Generator().manual_seed(number)


class UniformSampler:
    """Every picture with the same probability.

    Raises:
        ValueError: If there is no picture.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError("no picture to draw from: the data set is empty")
        self.count = count

    def draw(self, generator: Generator) -> tuple[int, int | None]:
        """A picture's index, for no class in particular."""
        return int(torch.randint(0, self.count, (), generator=generator)), None


class RareClassSampler:
    """Draw a class, rarer ones more often, then a picture that shows enough of it.

    Source: DAFormer (Hoyer et al., CVPR 2022), section 3.3, rare class sampling; the official code
        asks for more than 3000 pixels of a picture of 1914 x 1052.

    Note:
        If no picture shows enough of a class, those that show any of it are drawn; the official code
        stops there.

    Args:
        temperature: How strongly rare classes are preferred; the smaller, the stronger.
        min_share: A picture is drawn for a class only if the class's share of its pixels is above this, in [0, 1).

    Raises:
        ValueError: If no class occurs, or the temperature or the share is outside its range.
    """

    def __init__(
        self,
        statistics: ClassStatistics,
        *,
        temperature: float = 0.01,
        min_share: float = 3000 / (1914 * 1052),
    ) -> None:
        if not 0 <= min_share < 1:
            raise ValueError(f"min_share {min_share}: a share of the picture, from 0 to below 1")
        self.probability = class_probabilities(statistics.frequency, temperature)
        self.candidates = [_candidates(statistics, k, min_share) for k in range(len(statistics.names))]
        self._cumulative = self.probability.cumsum(0)

    def draw(self, generator: Generator) -> tuple[int, int | None]:
        """A picture's index and the class that it was drawn for."""
        mark = torch.rand((), generator=generator, dtype=torch.float64) * self._cumulative[-1]
        wanted = int(torch.searchsorted(self._cumulative, mark, right=True))
        pictures = self.candidates[wanted]
        return int(pictures[int(torch.randint(0, len(pictures), (), generator=generator))]), wanted


class MixedSampler:
    """Now and then a picture of a second, smaller set, which lies behind the first one; else as the first's sampler.

    Args:
        first: Draws of the first ``before`` pictures.
        few: How many pictures the second set has.
        share: How often one of them is drawn, in [0, 1].
    """

    def __init__(self, first: Sampler, *, before: int, few: int, share: float) -> None:
        self.first = first
        self.before = before
        self.few = UniformSampler(few)
        self.share = share

    def draw(self, generator: Generator) -> tuple[int, int | None]:
        """A picture's index in both sets, and the class that it was drawn for, if any."""
        if float(torch.rand((), generator=generator)) >= self.share:
            return self.first.draw(generator)
        place, wanted = self.few.draw(generator)
        return self.before + place, wanted


def class_probabilities(frequency: Float[Tensor, " k"], temperature: float) -> Float[Tensor, " k"]:
    """The probability of each class in rare-class sampling: softmax((1 - f) / T) over those that occur, in float64.

    Source: DAFormer (Hoyer et al., CVPR 2022), section 3.3, rare class sampling.

    Args:
        frequency: Each class's share of the labelled pixels; 0 for a class that does not occur.

    Raises:
        ValueError: If no class occurs or the temperature is not above 0.
    """
    if temperature <= 0:
        raise ValueError(f"rare-class temperature {temperature}: it must be above 0 (DAFormer's is 0.01)")
    occurs = frequency > 0
    if not occurs.any():
        raise ValueError("no training class occurs in any label: check the class map")
    score = ((1 - frequency.double()) / temperature).masked_fill(~occurs, -torch.inf)
    return torch.softmax(score, 0)


def _candidates(statistics: ClassStatistics, wanted: int, min_share: float) -> Tensor:
    pixels = statistics.pixels[:, wanted]
    enough = pixels > min_share * statistics.sizes
    return (enough if enough.any() else pixels > 0).nonzero().flatten()
