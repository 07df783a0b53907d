"""How far two predictions of the same pixels differ, in float32."""

import torch
from jaxtyping import Float
from torch import Tensor


def disagreement(
    logits: Float[Tensor, "b k h w"], partner: Float[Tensor, "b k h w"]
) -> Float[Tensor, "b h w"]:
    """The Kullback-Leibler divergence of a prediction from its partner's, at every pixel; 0 where they are equal.

    A gradient reaches both.

    Source: the variance of R-MRNet (Zheng and Yang, 2020), and the divergence of MRNet.
    """
    theirs = partner.float().log_softmax(1)
    return (theirs.exp() * (theirs - logits.float().log_softmax(1))).sum(1)


def rectified(loss: Float[Tensor, "b h w"], variance: Float[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    """A loss that counts less where two predictions differ, and the difference itself, so that they do not diverge.

    Source: R-MRNet (Zheng and Yang, 2020); as in its code, ignored pixels, whose loss is 0, contribute
    their difference.
    """
    return torch.exp(-variance) * loss + variance
