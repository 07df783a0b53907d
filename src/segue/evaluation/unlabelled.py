"""What can be said of a model on pictures without labels: how sure it is, and with whom it agrees."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from segue.evaluation.metrics import count, empty_confusion, iou_per_class, total
from segue.evaluation.model import Model
from segue.evaluation.predictors import classify, scaled
from segue.evaluation.read_ahead import read_ahead
from segue.evaluation.saliency import Pictures, evenly

SMALLER = 0.75
"""The scale at which a steady model still says the same."""


@dataclass(frozen=True)
class Unlabelled:
    """How a model behaves on pictures without labels.

    None of these is a score: a model can be sure, steady and wrong.

    Attributes:
        entropy: Of a pixel's probabilities, the mean over all pixels; 0 is sure, 1 is a guess among all classes.
        steadiness: Mean IoU, a fraction, of its prediction with that on the picture at three quarters of its size.
        agreement: The same with another model's prediction; None without one.
        pictures: How many were predicted.
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
    """Predict pictures without labels, as they are and smaller.

    Args:
        model: Whoever predicts.
        pictures: Without labels.
        other: Another model of the same classes: a teacher, for example.
        most: How many pictures are enough; they are taken evenly.
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
    agreement = None if other is None else _mean_iou(total(others))
    return Unlabelled(entropy / len(chosen), _mean_iou(total(own)), agreement, len(chosen))


def _classes(probability: Tensor) -> Tensor:
    return classify(probability, (probability.shape[-2], probability.shape[-1]))[0].cpu()


def _mean_iou(confusion: Tensor) -> float:
    ious = [iou for iou in iou_per_class(confusion) if iou is not None]
    return sum(ious) / len(ious)
