"""Gradient reversal, and the joint map of class probabilities and features that a domain discriminator sees."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, strength: float) -> Tensor:  # type: ignore[override]
        ctx.strength = strength
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return -ctx.strength * gradient, None


def reversed_gradient(value: Tensor, strength: float) -> Tensor:
    """The value itself, through which gradients flow back with the other sign, times a strength.

    Source: DANN (Ganin et al., JMLR 2016), section 4.2.
    """
    result: Tensor = _Reversed.apply(value, strength)  # pyright: ignore[reportAssignmentType]
    return result


def warm_start(step: int, length: float) -> float:
    """The strength of a reversal that grows from 0 towards 1, of which it has 0.46 after ``length`` steps.

    Source: DANN, section 5.2.2, in the form of CDAN's code: 2 / (1 + exp(-step / length)) - 1.
    """
    return math.tanh(step / (2 * length))


def multilinear_map(
    probability: Float[Tensor, "n k"], features: Float[Tensor, "n d"]
) -> Float[Tensor, "n kd"]:
    """The outer product of each picture's probabilities and features, class by class: K copies of D features.

    Source: CDAN (Long et al., NeurIPS 2018), equation 3.
    """
    return (probability[:, :, None] * features[:, None]).flatten(1)


def randomised_map(
    probability: Float[Tensor, "n k"],
    features: Float[Tensor, "n d"],
    *,
    matrices: tuple[Float[Tensor, "k m"], Float[Tensor, "d m"]],
) -> Float[Tensor, "n m"]:
    """An unbiased estimate of products of the multilinear map, M wide, for many classes or features.

    Source: CDAN, equation 4.

    Args:
        matrices: Random numbers of unit variance, the same for all batches.
    """
    of_classes, of_features = matrices
    return (probability @ of_classes) * (features @ of_features) / math.sqrt(of_classes.shape[1])
