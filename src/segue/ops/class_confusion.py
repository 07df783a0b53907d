"""What a batch's predictions say of classes that are confused, in float32."""

import torch
from jaxtyping import Float
from torch import Tensor

from segue.ranks import mean_over_ranks, sum_with_gradient

TINY = 1e-5
"""Inside the logarithm, as in the code of SDAT."""


def certainty_weight(probability: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """How much each prediction counts, 1 + exp(-entropy): sure ones up to twice as much as others; 1 on average.

    The average is over the batches of all processes. No gradient passes.

    Source: CDAN (Long et al., NeurIPS 2018), section 3.3, and its code's constant.
    """
    with torch.no_grad():
        entropy = -(probability * (probability + TINY).log()).sum(1)
        weight = 1 + (-entropy).exp()
        return weight / mean_over_ranks(weight.mean())


def class_confusion(logits: Float[Tensor, "n k"], temperature: float) -> Float[Tensor, ""]:
    """How much of each class's mass is shared with other classes: 0 for sure predictions, 1 - 1/K for uniform ones.

    Classes are compared over the batches of all processes, which must be equally large.

    Source: MCC (Jin et al., ECCV 2020), equations 2 to 6. The matrix is symmetric, so rows and columns have equal sums;
    as in the code of SDAT, its columns are divided by them.

    Args:
        temperature: T, above 1 for softer predictions.
    """
    probability = (logits.float() / temperature).softmax(1)
    weighed = probability * certainty_weight(probability)[:, None]
    shared = sum_with_gradient(weighed.T @ probability)
    shared = shared / shared.sum(1)
    return (shared.sum() - shared.trace()) / len(shared)
