"""How far a teacher is trusted: its label and confidence, the share of confident pixels, agreement, and margins."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from segue.ops.resize import resize
from segue.types import IGNORE


def label_and_confidence(
    logits: Float[Tensor, "b k h w"],
) -> tuple[Int64[Tensor, "b h w"], Float[Tensor, "b h w"]]:
    """The predicted class of every pixel and its probability.

    The probability is exp(maximum - log-sum-exp): no softmax over all classes is stored.
    """
    logits = logits.float()
    highest, label = logits.max(1)
    return label, torch.exp(highest - torch.logsumexp(logits, 1))


def confident_share(confidence: Float[Tensor, "b h w"], threshold: float) -> Float[Tensor, ""]:
    """The share of a batch's pixels whose confidence is at least the threshold: one number, as in the official code.

    Source: DACS (Tranheden et al., WACV 2021), section 3.2; DAFormer (Hoyer et al., CVPR 2022), equation 5.
    """
    return (confidence >= threshold).float().mean()


def agreement(logits: Float[Tensor, "b k h w"], label: Int64[Tensor, "b h2 w2"]) -> Float[Tensor, " b"]:
    """The share of each picture's labelled pixels on which prediction and label agree; 0 if no pixel is labelled.

    Source: STCT + MHA, equation 1: the pseudo-accuracy of a picture.
    """
    prediction = resize(logits.float(), (label.shape[-2], label.shape[-1])).max(1).indices
    counts = label != IGNORE
    right = ((prediction == label) & counts).flatten(1).sum(1)
    return right / counts.flatten(1).sum(1).clamp(min=1)


def without_margins(
    quality: Float[Tensor, "b h w"],
    *,
    top: float = 0.0,
    bottom: float = 0.0,
    left: float = 0.0,
    right: float = 0.0,
) -> Float[Tensor, "b h w"]:
    """Quality with the margins set to zero, where a camera sees the car's bonnet or rectification leaves artefacts.

    Source: DAFormer (Hoyer et al., CVPR 2022), appendix; the official code drops the top 15 and the bottom
    120 rows of a 512-pixel crop, here fractions of the picture's sides, rounded to whole rows and columns.
    """
    height, width = quality.shape[-2:]
    kept = torch.zeros_like(quality)
    rows = slice(round(top * height), height - round(bottom * height))
    columns = slice(round(left * width), width - round(right * width))
    kept[:, rows, columns] = quality[:, rows, columns]
    return kept
