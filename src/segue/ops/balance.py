"""Class balance: thresholds that keep a share of every class, weights of rare classes, the hardest pixels."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from segue.ops.counting import counted
from segue.ranks import gathered
from segue.types import IGNORE

SHIFT = 12
"""So many bits of a float32 do not count in a histogram of confidences: an octave has 2^(23 - 12) bins."""

OCTAVES = 25
"""Of the distance from 0 or 1: from a half down to the smallest distance from 1 that float32 has, and one for less."""

FIRST = (126 - OCTAVES) << (23 - SHIFT)
"""The bits, without those that do not count, with which the first bin begins."""

HALF = (OCTAVES << (23 - SHIFT)) + 1
"""The bins below one half, and as many from there on; in the last one is the half itself."""

BINS = 2 * HALF


def class_thresholds(confidences: Sequence[Float[Tensor, " _"]], portion: float) -> Float[Tensor, " k"]:
    """For each class, the confidence that a share (portion) of its pixels reaches, in (0, 1]; 1 if none is to be kept.

    ``confidences`` are those of the pixels that are predicted as each class.

    Source: CBST (Zou et al., ECCV 2018), algorithm 2; the code of CRST: the floor(n * portion)-th highest value,
    counted from 1.
    """
    thresholds = torch.ones(len(confidences))
    for name, values in enumerate(confidences):
        kept = math.floor(len(values) * portion)
        if kept > 0:
            thresholds[name] = values.float().kthvalue(len(values) - kept + 1).values
    return thresholds


def ranked_thresholds(
    confidences: Sequence[Float[Tensor, " _"]], *, left_out: float, ceiling: float
) -> Float[Tensor, " k"]:
    """For each class, the confidence that a share of its pixels does not exceed, cut at a ceiling; 0 if absent.

    Source: the labels of FDA (Yang and Soatto, CVPR 2020), whose code takes the value at round(share * n), counted from
    0 in ascending order. A class of a single pixel, on which it fails, keeps that pixel.
    """
    thresholds = torch.zeros(len(confidences))
    for name, values in enumerate(confidences):
        if len(values):
            place = min(round(left_out * len(values)), len(values) - 1)
            thresholds[name] = values.float().kthvalue(place + 1).values.clamp(max=ceiling)
    return thresholds


def binned(confidence: Float[Tensor, " n"]) -> Int64[Tensor, " n"]:
    """The places of confidences, in [0, 1], in a histogram of ``BINS`` bins, ordered as they are.

    Bins are as fine near 1, where a trained model's confidences crowd, as near 0: their width is 1/2048 or less of the
    distance from the nearer of the two.
    """
    value = confidence.float().clamp(0, 1)
    upper = value >= 0.5
    distance = torch.where(upper, 1 - value, value)  # exact in float32
    # The bits of positive floats are ordered as they are: an octave after the other, each cut evenly.
    place = (distance.contiguous().view(torch.int32) >> SHIFT).long() - FIRST
    place = place.clamp(min=0)
    return torch.where(upper, BINS - 1 - place, place)


def bin_floors() -> Float[Tensor, " bins"]:
    """The lowest confidence of every bin."""
    edges = ((torch.arange(HALF + 1, dtype=torch.int32) + FIRST) << SHIFT).view(torch.float32)
    lower = edges[:-1].clone()
    lower[0] = 0
    # Above one half the farthest from 1 is the last one before the next edge, and float32 has steps of 2^-24 there.
    farthest = ((edges[1:].double() * 2**24).ceil() - 1) / 2**24
    return torch.cat([lower, (1 - farthest).clamp(min=0.5).float().flip(0)])


def thresholds_of_bins(counts: Int64[Tensor, "k bins"], portion: float) -> Float[Tensor, " k"]:
    """As :func:`class_thresholds`, from the histogram of each class's confidences: the lowest of the bin that it is in.

    So the share is reached, and exceeded by no more than what one bin holds.
    """
    total = counts.sum(1)
    kept = (total.double() * portion).floor().long()
    reached = counts.flip(1).cumsum(1) >= kept[:, None]  # from the highest confidence on
    place = counts.shape[1] - 1 - reached.int().argmax(1)
    # A threshold divides: 0 is not one.
    found = bin_floors()[place].clamp(min=torch.finfo(torch.float32).tiny)
    return torch.where(kept > 0, found, 1.0)


def balanced_label(
    probability: Float[Tensor, "b k h w"], thresholds: Float[Tensor, " k"]
) -> UInt8[Tensor, "b h w"]:
    """The class whose probability is highest relative to its threshold; IGNORE where no class reaches its own.

    Source: CBST, equation 7.
    """
    share, label = (probability.float() / thresholds.view(-1, 1, 1)).max(1)
    return label.to(torch.uint8).masked_fill(share < 1, IGNORE)


def regularised_soft_label(
    probability: Float[Tensor, "b k h w"], thresholds: Float[Tensor, " k"], *, alpha: float = 0.25
) -> tuple[Float[Tensor, "b k h w"], UInt8[Tensor, "b h w"]]:
    """Soft pseudo-labels of label entropy regularisation, and the hard label, with IGNORE where a pixel is left out.

    Source: CRST (Zou et al., ICCV 2019), section 4.1, LRENT, whose alpha weights the entropy; as in its code, a pixel
    is left out where that makes the objective smaller.
    """
    tiny = 1e-32  # a normal number in float32, so that the logarithm of zero stays finite
    log_probability = (probability.float() + tiny).log()
    limits = thresholds.view(-1, 1, 1)
    soft = ((probability.float() / limits).clamp(min=tiny).log() / alpha).softmax(1)
    taken = (-soft * log_probability).sum(1) + alpha * (soft * (soft + tiny).log()).sum(1)
    left_out = (-soft * (limits + tiny).log()).sum(1)
    label = soft.max(1).indices.to(torch.uint8).masked_fill(taken >= left_out, IGNORE)
    return soft, label


def corrected_label(
    probability: Float[Tensor, "k h w"],
    label: UInt8[Tensor, "h w"],
    thresholds: Float[Tensor, " k"],
    *,
    delta: float,
) -> UInt8[Tensor, "h w"]:
    """A true label, replaced by the prediction where that reaches its class's threshold and is surer by ``delta``.

    Surer than of the label's own class; a pixel without a label has no class to be sure of, so that it gets one, too.

    Source: the label correction of DPL (Cheng et al., ICCV 2021), after its code.
    """
    sure, guess = probability.max(0)
    known = label.long().clamp(max=len(probability) - 1)
    own = probability.gather(0, known[None])[0].masked_fill(label == IGNORE, 0.0)
    moved = (sure >= thresholds.to(sure.device)[guess]) & (sure - own >= delta)
    return torch.where(moved, guess.to(torch.uint8), label)


def rare_classes(pixels: Int64[Tensor, " k"], below: float) -> list[int]:
    """The classes predicted on less than a share of all pixels, the rarest first; absent ones count.

    Source: the code of CRST, which mines them.
    """
    share = pixels.double() / pixels.sum().clamp(min=1)
    order = share.argsort(stable=True)
    return order[share[order] < below].tolist()


def present_pixels(label: Int64[Tensor, "b h w"], classes: int) -> Int64[Tensor, " k"]:
    """How many pixels of a batch have each class."""
    return counted(label, IGNORE + 1)[:classes]


def hardest(
    loss: Float[Tensor, "b h w"], label: Int64[Tensor, "b h w"], *, percentile: float
) -> Int64[Tensor, "b h w"]:
    """The label without the easy pixels: those whose loss is below a percentile of the joined batch's.

    Source: ensemble distillation's code, where ignored pixels count in the percentile with a loss of zero, so
    that more than the remaining percentage of labelled pixels is kept.

    Args:
        loss: 0 where the label is ignored.
        percentile: In [0, 100]; 0 keeps all.
    """
    if percentile == 0:
        return label
    # torch.quantile() accepts at most sixteen million values; sorting has no such limit.
    ordered = gathered(loss.detach()).flatten().sort().values
    place = percentile / 100 * (len(ordered) - 1)
    low, high = math.floor(place), math.ceil(place)
    limit = ordered[low] + (ordered[high] - ordered[low]) * (place - low)
    return label.masked_fill(loss.detach() < limit, IGNORE)
