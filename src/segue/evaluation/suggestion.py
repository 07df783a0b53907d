"""Which target pictures are most worth labelling: those that a model doubts, unlike one another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from segue.evaluation.model import Model
from segue.evaluation.pictures import Pictures
from segue.evaluation.unlabelled import GRID, Seen, certainty_of_classes, look

CELLS = (3, 4)
"""The rows and columns of cells in which pictures are compared by the classes that they show."""


@dataclass(frozen=True)
class Doubt:
    """A picture that is worth a label.

    Attributes:
        place: In the data set.
        doubt: The mean over its classes of what is missing to certainty, plus the share of its pixels that change class
            when it is altered.
        classes: The places of the classes that it is least sure of, the least first.
    """

    place: int
    doubt: float
    classes: list[int]


def suggest(
    model: Model,
    pictures: Pictures,
    places: Sequence[int],
    *,
    count: int,
    progress: Callable[[object], None] | None = None,
) -> list[Doubt]:
    """The ``count`` pictures most worth labelling among those at ``places``, the first one first.

    Each is the one with the largest product of its doubt and its distance to the nearest picture chosen before: the
    share of its cells' classes that would have to change. Small classes count as much as large ones.

    Args:
        progress: Called with each place once it has been looked at.
    """
    doubts: list[Doubt] = []
    shown: list[Tensor] = []
    for place in places:
        seen = look(model, pictures, [place])
        doubts.append(_doubt(seen, place))
        shown.append(_by_cell(seen))
        if progress is not None:
            progress(place)
    return [doubts[k] for k in _spread([one.doubt for one in doubts], torch.stack(shown), count)]


def _doubt(seen: Seen, place: int) -> Doubt:
    missing = {k: 1 - sure for k, sure in enumerate(certainty_of_classes(seen)) if sure is not None}
    moved = float((seen.target.argmax(1) != seen.altered.argmax(1)).float().mean())
    unsure = sorted(missing, key=lambda k: -missing[k])
    return Doubt(place, sum(missing.values()) / len(missing) + moved, unsure[:3])


def _by_cell(seen: Seen) -> Float[Tensor, " d"]:
    """The mean probabilities of the classes in every cell, one after the other; they sum to one."""
    maps = seen.target[0].unflatten(1, GRID)
    return torch.nn.functional.adaptive_avg_pool2d(maps, CELLS).flatten() / (CELLS[0] * CELLS[1])


def _spread(doubts: Sequence[float], shown: Float[Tensor, "p d"], count: int) -> list[int]:
    """The places of pictures that are doubtful and far from one another; with nothing chosen all are equally far."""
    worth, nearest = torch.tensor(doubts), torch.ones(len(doubts))
    chosen: list[int] = []
    while len(chosen) < min(count, len(doubts)):
        product = worth * nearest
        product[chosen] = -1.0
        chosen.append(int(product.argmax()))
        nearest = torch.minimum(nearest, (shown - shown[chosen[-1]]).abs().sum(1) / 2)
    return chosen
