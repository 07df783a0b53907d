"""Counting values without asking the device how many there are."""

from jaxtyping import Int64
from torch import Tensor


def counted(values: Int64[Tensor, "*shape"], size: int) -> Int64[Tensor, " {size}"]:
    """How often each whole number from 0 to ``size - 1`` occurs; there must be no others.

    ``torch.bincount`` looks for the largest value first, for which the host waits.
    """
    flat = values.flatten()
    if flat.device.type == "cpu":
        return flat.bincount(minlength=size)
    return flat.new_zeros(size).scatter_add_(0, flat, flat.new_ones(()).expand_as(flat))
