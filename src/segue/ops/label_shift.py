"""How frequent classes are in two domains, picture by picture, and what a classifier of one makes of the other."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


def log_ratio(source: Int64[Tensor, " k"], target: Int64[Tensor, " k"]) -> Float[Tensor, " k"]:
    """What is added to logits that were learnt on the source so that they hold for the target's classes.

    It is the logarithm of the target's prior over the source's; a class in no picture counts as if in one.

    Source: Undoing (Liu et al., CVPR 2022), on its counts of pictures.

    Args:
        source: How many of the source's pictures show each class.
        target: The same of the target's.
    """
    priors = (counts.clamp(min=1).double() for counts in (source, target))
    before, after = (prior / prior.sum() for prior in priors)
    return (after / before).log().float()


def presence(probability: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k"]:
    """How much of each class a picture seems to show, in float64: the logarithm of the mean exponential probability.

    Source: the code of Undoing (Liu et al., CVPR 2022). It is never below the mean probability, so that more pictures
    count for a class than by its area.
    """
    return probability.double().exp().mean((2, 3)).log()


def area(probability: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k"]:
    """The share of each picture, in float64, that is predicted as each class."""
    classes = probability.shape[1]
    label = probability.max(1).indices
    return torch.nn.functional.one_hot(label, classes).double().mean((1, 2))


def shown(score: Float[Tensor, "b k"], usual: Float[Tensor, " k"]) -> Bool[Tensor, "b k"]:
    """Whether each picture counts for each class: its score is above the class's mean share of a source picture."""
    return score > usual
