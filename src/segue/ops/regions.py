"""Regions of a picture that belong to a class: grown from its surest pixels, as far as the class is probable."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from segue.types import IGNORE


def expanded(
    probability: Float[Tensor, "k h w"],
    present: Bool[Tensor, " k"],
    *,
    seeds: float = 0.05,
    reach: float = 0.5,
) -> UInt8[Tensor, "h w"]:
    """Labels of one picture: regions of the classes that are present, each grown from its surest pixels; else IGNORE.

    A region grows over neighbours above, below and aside that are predicted as the class, or as one that is not
    present, and that have at least a share of the seeds' mean probability of the class. A pixel that two classes
    reach belongs to the more probable one.

    Source: region expansion of PIT (Lv et al., CVPR 2020) in outline; no code was published, and all numbers are ours.

    Args:
        seeds: The share of the pixels predicted as a class, the surest ones, that its region grows from.
        reach: The share of the seeds' mean probability.
    """
    guess = probability.max(0).indices
    best, label = torch.zeros_like(probability[0]), torch.full_like(guess, IGNORE)
    for place in present.nonzero().flatten().tolist():
        own, predicted = probability[place], guess == place
        count = int(predicted.sum())
        if not count:
            continue
        kept = max(1, int(count * seeds))
        limit = own[predicted].kthvalue(count - kept + 1).values
        sure = predicted & (own >= limit)
        allowed = (predicted | ~present[guess]) & (own >= reach * own[sure].mean())
        region = grown(sure, allowed) & (own > best)
        best, label = torch.where(region, own, best), label.masked_fill(region, place)
    return label.to(torch.uint8)


def grown(seeds: Bool[Tensor, "h w"], allowed: Bool[Tensor, "h w"]) -> Bool[Tensor, "h w"]:
    """The seeds, and all pixels that they reach by steps up, down and aside over allowed ones."""
    region = seeds
    while True:
        wide = region.float()[None, None]
        beside = torch.maximum(F.max_pool2d(wide, (3, 1), 1, (1, 0)), F.max_pool2d(wide, (1, 3), 1, (0, 1)))
        larger = seeds | ((beside[0, 0] > 0) & allowed)
        if torch.equal(larger, region):
            return region
        region = larger


def area(probability: Float[Tensor, "k h w"]) -> Float[Tensor, " k"]:
    """The share of a picture that is predicted as each class."""
    guess = probability.max(0).indices.flatten()
    return torch.bincount(guess, minlength=len(probability)).float() / guess.numel()
