"""Similarity of pixels to a bank of labelled instances, and what classes and instances say of one another."""

from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from segue.ops.counting import counted

Similarity: TypeAlias = Literal["cosine", "dot", "linear"]

TINY = 1e-10
"""Added inside the logarithm of linear similarities, as in the official code."""

ABSENT = -1e9
"""The logit of an instance that is not there: its softmax is 0, and unlike infinity, 0 times its logarithm is 0."""


def log_similarity(
    embedding: Float[Tensor, "n d"],
    bank: Float[Tensor, "k d"],
    *,
    kind: Similarity,
    temperature: float,
    there: Bool[Tensor, " k"] | None = None,
) -> Float[Tensor, "n k"]:
    """The logarithm of the distribution of a pixel's similarity over the bank.

    Source: DIDA (supplement), with the cosine and the temperature that make its table of temperatures meaningful.

    Args:
        kind: "cosine" and "dot": a softmax of cosines or products over the temperature. "linear": products over
            their sum, as the released code has it, which may be negative.
        there: Which instances count; the others, which are zero vectors, get none of the distribution. None for all.
    """
    embedding, bank = embedding.float(), bank.float()
    if kind == "cosine":
        embedding, bank = F.normalize(embedding, dim=1), F.normalize(bank, dim=1)
    with torch.autocast(
        embedding.device.type, enabled=False
    ):  # bf16 has too few digits for a temperature of 0.1
        product = embedding @ bank.T
    if kind == "linear":
        return (product / product.sum(dim=1, keepdim=True) + TINY).log()
    logits = product / temperature
    return (logits if there is None else logits.masked_fill(~there, ABSENT)).log_softmax(dim=1)


def nearest_only(similarity: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """A pixel's whole similarity on the instance that it is most similar to: the limit of a temperature of 0."""
    return torch.zeros_like(similarity).scatter_(1, similarity.argmax(dim=1, keepdim=True), 1.0)


def scattered(
    similarity: Float[Tensor, "n k"], score: Float[Tensor, "n c"], labels: Int64[Tensor, " k"]
) -> Float[Tensor, "n k"]:
    """What classes say of instances: a distribution over them, of similarity weighted by the score of their classes.

    Where no instance's class has a score, it is the similarity itself.

    Args:
        similarity: Of pixels to instances.
        score: Of classes at each pixel, usually probabilities.
        labels: The instances' classes.
    """
    weighed = similarity * score[:, labels]
    total = weighed.sum(dim=1, keepdim=True)
    return torch.where(
        total == 0, similarity, weighed / torch.where(total == 0, torch.ones_like(total), total)
    )


def gathered(
    similarity: Float[Tensor, "n k"], labels: Int64[Tensor, " k"], classes: int
) -> Float[Tensor, "n c"]:
    """What instances say of classes: the similarity to all instances of each class."""
    total = torch.zeros(len(similarity), classes, dtype=similarity.dtype, device=similarity.device)
    return total.index_add_(1, labels, similarity)


def instance_loss(
    target: Float[Tensor, "n k"], log_prediction: Float[Tensor, "n k"], weight: Float[Tensor, " n"]
) -> Float[Tensor, ""]:
    """The weighted sum over pixels of the cross-entropy between two distributions over instances."""
    return -((target * log_prediction).sum(dim=1).masked_fill(weight == 0, 0.0) * weight).sum()


def boundary(label: Int64[Tensor, "h w"]) -> Bool[Tensor, "h w"]:
    """Pixels whose 3x3 neighbourhood holds more than one label; borders are repeated."""
    padded = F.pad(label[None, None].float(), (1, 1, 1, 1), mode="replicate")
    around = F.unfold(padded, 3)[0]
    return (around != around[:1]).any(dim=0).view_as(label)


def class_means(
    features: Float[Tensor, "n d"], label: Int64[Tensor, " n"], classes: int
) -> tuple[Float[Tensor, "c d"], Bool[Tensor, " c"]]:
    """The mean feature of every class, and which classes occur; ignored pixels do not count."""
    index = label.clamp(max=classes)  # ignored pixels get a row of their own, which is cut off
    total = features.new_zeros(classes + 1, features.shape[1], dtype=torch.float32)
    total.index_add_(0, index, features.float())
    count = total.new_zeros(classes + 1).index_add_(0, index, torch.ones_like(index, dtype=torch.float32))
    return (total / count.clamp(min=1)[:, None])[:classes], count[:classes] > 0


def distinct_pixels(
    label: Int64[Tensor, " n"],
    wanted: Int64[Tensor, " k"],
    open_rows: Bool[Tensor, " k"],
    classes: int,
    *,
    most: int,
    generator: torch.Generator | None = None,
) -> tuple[Int64[Tensor, " k"], Bool[Tensor, " k"]]:
    """A random pixel of its class for each open row, none twice, without copying anything to the host.

    The result is the pixels' indices, and which rows got one. Label values from ``classes`` on are never drawn.

    Args:
        wanted: A class for each row.
        open_rows: The rows that want a pixel.
        most: Pixels drawn of a class at most.
    """
    order, start, count = _shuffled(label, classes, generator)
    every = torch.arange(classes, device=wanted.device)
    asking = (wanted[:, None] == every) & open_rows[:, None]
    turn = (asking.cumsum(0).gather(1, wanted[:, None])[:, 0] - 1).clamp(min=0)
    is_served = open_rows & (turn < count[wanted].clamp(max=most))
    place = (start[wanted] + turn).clamp(max=len(label) - 1)
    return order[place], is_served


def draw_pixels(
    label: Int64[Tensor, " n"],
    wanted: Int64[Tensor, " k"],
    classes: int,
    generator: torch.Generator | None = None,
) -> tuple[Int64[Tensor, " k"], Bool[Tensor, " k"]]:
    """A random pixel of each wanted class, without copying anything to the host.

    The result is the pixels' indices, and which draws found any pixel. Label values from ``classes`` on are
    never drawn.
    """
    order, start, count = _shuffled(label, classes, generator)
    share = torch.rand(len(wanted), device=label.device, generator=generator)
    place = start[wanted] + (share * count[wanted]).long().clamp(max=(count[wanted] - 1).clamp(min=0))
    return order[place.clamp(max=len(label) - 1)], count[wanted] > 0


def _shuffled(
    label: Tensor, classes: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels sorted by class, in random order within each; where each class begins, and how many pixels it has."""
    shuffle = torch.rand(len(label), device=label.device, generator=generator).argsort()
    order = shuffle[label[shuffle].argsort(stable=True)]
    count = counted(label.clamp(max=classes), classes + 1)
    return order, count.cumsum(0) - count, count
