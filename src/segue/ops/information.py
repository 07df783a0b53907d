"""How uncertain a prediction is, class by class and pixel by pixel, in float32."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def self_information(probability: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k h w"]:
    """The share of every class in a pixel's entropy, which is 1 where the prediction is uniform and 0 where it is sure.

    Source: ADVENT (Vu et al., CVPR 2019); as in its code, 1e-30 inside the logarithm keeps it finite, so
    that a probability of zero contributes exactly zero.
    """
    probability = probability.float()
    return -probability * torch.log2(probability + 1e-30) / math.log2(probability.shape[1])


def mean_information(probability: Float[Tensor, "b k h w"]) -> Float[Tensor, " b"]:
    """How uncertain each picture's prediction is: the mean of its self-information over pixels and classes.

    Source: the ranking of IntraDA (Pan et al., CVPR 2020), and its code, in whose mean classes count, too.
    """
    return self_information(probability).double().mean((1, 2, 3))


def charbonnier(values: Float[Tensor, "*shape"], eta: float) -> Float[Tensor, "*shape"]:
    """Values in [0, 1], of which the high ones count more the higher ``eta`` is, above one half.

    Source: FDA (Yang and Soatto, CVPR 2020), and its code's constant.
    """
    return (values.square() + 1e-8) ** eta
