"""Measures of a model on pictures without labels: how sure it is, and what it agrees with."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from segue.evaluation.metrics import count, empty_confusion, iou_per_class, mean_of, total
from segue.evaluation.model import Model
from segue.evaluation.pictures import Pictures, evenly
from segue.evaluation.predictors import classify, scaled
from segue.evaluation.read_ahead import read_ahead

SMALLER = 0.75
"""The scale at which a steady model still says the same."""


@dataclass(frozen=True)
class Unlabelled:
    """How a model behaves on pictures without labels.

    None of these is a score: a model can be sure, steady and wrong.

    Attributes:
        entropy: The mean entropy of a pixel's probabilities; 0 is sure, 1 is a guess among all classes.
        steadiness: The mean IoU, a fraction, of its prediction with that on the picture at three quarters of its size.
        agreement: The mean IoU with another model's prediction; None without one.
    """

    entropy: float
    steadiness: float
    agreement: float | None
    pictures: int


def look(
    model: Model,
    pictures: Pictures,
    *,
    other: Model | None = None,
    most: int = 100,
) -> Unlabelled:
    """Predict at most ``most`` pictures, taken evenly, as they are and smaller.

    Args:
        other: A model of the same classes to agree with, such as a teacher.
    """
    smaller, classes = scaled(model.predictor, (SMALLER,)), len(model.classes)
    own, others = (empty_confusion(classes, over_ranks=False) for _ in range(2))
    chosen, entropy = evenly(len(pictures), most), 0.0
    for _, picture in read_ahead(pictures.image, chosen):
        probability = model.probabilities(picture[None])
        entropy += float(torch.special.entr(probability).sum(1).mean()) / math.log(classes)
        prediction = _classes(probability)
        count(own, _classes(smaller(model.normalised(picture[None]))), label=prediction)
        if other is not None:
            count(others, prediction, label=_classes(other.probabilities(picture[None])))
    steadiness = mean_of(iou_per_class(total(own)))
    assert steadiness is not None, "every pixel has a prediction to agree with"
    agreement = None if other is None else mean_of(iou_per_class(total(others)))
    return Unlabelled(entropy / len(chosen), steadiness, agreement, len(chosen))


def _classes(probability: Tensor) -> Tensor:
    return classify(probability, (probability.shape[-2], probability.shape[-1]))[0].cpu()
