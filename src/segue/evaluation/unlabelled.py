"""What can be told of a model without target labels: measures of its predictions, in one table.

None of these is a score: a model can be sure, steady and wrong. ``docs/selection.md`` says how far to trust each.
To add one, write a function of :class:`Seen` and its line of :data:`MEASURES`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from segue.evaluation.metrics import count, empty_confusion, iou_per_class, mean_of, total
from segue.evaluation.model import Model
from segue.evaluation.pictures import LabelledPictures, Pictures
from segue.evaluation.predictors import classify, scaled
from segue.evaluation.read_ahead import read_ahead
from segue.types import IGNORE

GRID = (72, 128)
"""The rows and columns of a picture that are looked at, evenly spread; neighbouring pixels say the same."""

SMALLER, DARKER = 0.75, 0.8
"""The size and brightness of the altered picture, which is mirrored, too."""

NEIGHBOURS = 1024
"""At most so many pixels of a picture are compared with one another."""

TEMPERATURE = 0.05
"""That of soft neighbourhood density, as published."""


@dataclass(frozen=True)
class Seen:
    """What a model says of a few pictures, at the pixels of the grid.

    Attributes:
        target: Class probabilities by picture and pixel.
        altered: Those on the same pictures mirrored, smaller and darker, at the same places.
        teacher: Those of the network that teaches it or is taught by it; None without one.
        source: Those of labelled source pictures; None without any.
        label: Their training ids, IGNORE where unlabelled.
        start: The shares of the classes in what training started from said of the same target pictures; None if it
            started from no trained model.
    """

    target: Float[Tensor, "p k n"]
    altered: Float[Tensor, "p k n"]
    teacher: Float[Tensor, "p k n"] | None = None
    source: Float[Tensor, "q k n"] | None = None
    label: Int64[Tensor, "q n"] | None = None
    start: Float[Tensor, " k"] | None = None

    def picture(self, place: int) -> "Seen":
        """The same with only one of the target pictures."""
        one = slice(place, place + 1)
        teacher = None if self.teacher is None else self.teacher[one]
        return replace(self, target=self.target[one], altered=self.altered[one], teacher=teacher)


def look(
    model: Model,
    pictures: Pictures,
    chosen: list[int],
    *,
    other: Model | None = None,
    watch: Callable[[int, Tensor, Tensor], None] | None = None,
) -> Seen:
    """Predict the chosen target pictures as they are and altered.

    Args:
        other: The model to agree with, such as a teacher; of the same classes.
        watch: Called with the place of each picture, the picture (3,H,W) and the predicted classes (H,W), as bytes.
    """
    smaller = scaled(model.predictor, (SMALLER,))
    own: list[Tensor] = []
    altered: list[Tensor] = []
    others: list[Tensor] = []
    for place, picture in read_ahead(pictures.image, chosen):
        probability = model.probabilities(picture[None])
        own.append(sampled(probability[0]))
        if watch is not None:
            watch(place, picture, classify(probability, (picture.shape[-2], picture.shape[-1]))[0].cpu())
        darker = model.normalised((picture.float() * DARKER).to(torch.uint8).flip(-1)[None])
        altered.append(sampled(smaller(darker).flip(-1)[0]))
        if other is not None:
            others.append(sampled(other.probabilities(picture[None])[0]))
    return Seen(torch.stack(own), torch.stack(altered), torch.stack(others) if others else None)


def look_at_source(
    model: Model, pictures: LabelledPictures, chosen: list[int]
) -> tuple[Float[Tensor, "q k n"], Int64[Tensor, "q n"]]:
    """Probabilities and labels of the chosen source pictures, as :class:`Seen` holds them."""

    def read(place: int) -> tuple[Tensor, Tensor]:
        return pictures.image(place), pictures.label(place)

    seen = [
        (sampled(model.probabilities(image[None])[0]), sampled(label[None])[0].long())
        for _, (image, label) in read_ahead(read, chosen)
    ]
    probabilities, labels = zip(*seen, strict=True)
    return torch.stack(probabilities), torch.stack(labels)


def sampled(values: Float[Tensor, "k h w"] | UInt8[Tensor, "k h w"]) -> Tensor:
    """The values (K,N) at the pixels of the grid, on the processor."""
    grid = (1, 1) if values.shape[-2:] == (1, 1) else GRID
    rows, columns = (
        ((torch.arange(number, device=values.device) + 0.5) * (side / number)).long()
        for number, side in zip(grid, values.shape[-2:], strict=True)
    )
    return values[:, rows][:, :, columns].flatten(1).cpu()


def class_shares(seen: Seen) -> Float[Tensor, " k"]:
    """The share of the target's pixels that is named as each class."""
    classes = seen.target.shape[1]
    return torch.bincount(seen.target.argmax(1).flatten(), minlength=classes) / seen.target[:, 0].numel()


def source_shares(seen: Seen) -> Float[Tensor, " k"] | None:
    """The share of each class in the source's labels; None without any label."""
    if seen.label is None:
        return None
    labelled = seen.label[seen.label != IGNORE]
    return torch.bincount(labelled, minlength=seen.target.shape[1]) / max(1, len(labelled))


def certainty_of_classes(seen: Seen) -> list[float | None]:
    """The mean probability of each class where it is the one that is named; None where it never is."""
    highest = seen.target.max(dim=1)
    return [
        float(highest.values[highest.indices == k].mean()) if bool((highest.indices == k).any()) else None
        for k in range(seen.target.shape[1])
    ]


def entropy(seen: Seen) -> float:
    """The mean entropy of a pixel's probabilities; 0 is sure, 1 is a guess among all classes."""
    return float(torch.special.entr(seen.target).sum(1).mean()) / _most(seen)


def certainty(seen: Seen) -> float | None:
    """The mean over the classes that are named of their certainty, so that small ones count like large ones."""
    return mean_of(certainty_of_classes(seen))


def information(seen: Seen) -> float:
    """How much a pixel says of its class: the entropy of the mean prediction less the mean entropy, in [0, 1].

    Source: information maximisation (Krause et al., NeurIPS 2010; Liang et al., ICML 2020, equation 3).
    """
    diversity = float(torch.special.entr(seen.target.mean(dim=(0, 2))).sum()) / _most(seen)
    return diversity - entropy(seen)


def density(seen: Seen) -> float | None:
    """Soft neighbourhood density: how evenly a pixel's likeness is spread over the others, in [0, 1].

    Source: Saito et al., ICCV 2021, equations 1 to 3, on probabilities of the same picture, or of all pictures where
    each has one class.
    """
    every = -(-seen.target.shape[-1] // NEIGHBOURS)
    vectors = seen.target[:, :, ::every].transpose(1, 2)
    if vectors.shape[1] == 1:
        vectors = vectors.transpose(0, 1)
    if vectors.shape[1] < 3:  # too few to be spread over
        return None
    features = torch.nn.functional.normalize(vectors, dim=2)
    found = 0.0
    for one in features:
        likeness = (one @ one.T / TEMPERATURE).fill_diagonal_(-torch.inf).softmax(1)
        found += float(torch.special.entr(likeness).sum(1).mean()) / math.log(len(one) - 1)
    return found / len(features)


def steadiness(seen: Seen) -> float | None:
    """The mean IoU of the prediction on altered pictures with that on the pictures."""
    return _alike(seen.altered, seen.target)


def agreement(seen: Seen) -> float | None:
    """The mean IoU with the teacher's prediction."""
    return None if seen.teacher is None else _alike(seen.target, seen.teacher)


def drift_from_source(seen: Seen) -> float | None:
    """The share of pixels that would have to change class for the classes to be as frequent as in source labels."""
    shares = source_shares(seen)
    return None if shares is None else _distance(class_shares(seen), shares)


def drift_from_start(seen: Seen) -> float | None:
    """The same against what training started from said."""
    return None if seen.start is None else _distance(class_shares(seen), seen.start)


def source_score(seen: Seen) -> float | None:
    """The mean IoU on labelled source pictures."""
    if seen.source is None or seen.label is None:
        return None
    return _mean_iou(seen.source.argmax(1), seen.label, seen.source.shape[1])


def accuracy_by_threshold(seen: Seen) -> float | None:
    """The estimated share of right pixels: those surer than a threshold that leaves out the source's share of errors.

    Source: average thresholded confidence (Garg et al., ICLR 2022), equation 1, with the highest probability.
    """
    calibrated = _on_source(seen)
    if calibrated is None:
        return None
    confidence, right = calibrated
    ordered = confidence.sort().values
    wrong = int((~right).sum())
    threshold = ordered[wrong] if wrong < len(ordered) else torch.inf
    return float((seen.target.amax(1) >= threshold).float().mean())


def accuracy_by_difference(seen: Seen) -> float | None:
    """The estimated share of right pixels: the source's, less what the mean certainty has fallen by.

    Source: difference of confidences (Guillory et al., ICCV 2021), without its regression.
    """
    calibrated = _on_source(seen)
    if calibrated is None:
        return None
    confidence, right = calibrated
    return float(right.float().mean() - confidence.mean() + seen.target.amax(1).mean())


@dataclass(frozen=True)
class Measure:
    """A measure, and what is to be known of it.

    Attributes:
        title: What tables and charts call it.
        better: 1 if higher values speak for a model, -1 if lower ones do, 0 if neither.
        votes: Whether it has a say, picture by picture, in the verdict on a run.
    """

    value: Callable[[Seen], float | None]
    title: str
    better: int
    votes: bool = False


MEASURES: dict[str, Measure] = {
    "agreement": Measure(agreement, "agrees with its teacher", 1),
    "steadiness": Measure(steadiness, "steady when altered", 1, votes=True),
    "entropy": Measure(entropy, "entropy", -1),
    "certainty": Measure(certainty, "certainty, class by class", 1, votes=True),
    "information": Measure(information, "information maximisation", 1, votes=True),
    "density": Measure(density, "soft neighbourhood density", 1),
    "drift_from_source": Measure(drift_from_source, "classes unlike the source's", -1),
    "drift_from_start": Measure(drift_from_start, "classes unlike the start's", 0),
    "source_score": Measure(source_score, "score on the source", 1),
    "accuracy_by_threshold": Measure(accuracy_by_threshold, "accuracy by threshold (ATC)", 1, votes=True),
    "accuracy_by_difference": Measure(accuracy_by_difference, "accuracy by difference (DoC)", 1),
}


def _most(seen: Seen) -> float:
    """The entropy of a guess among all classes."""
    return math.log(seen.target.shape[1])


def _distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().sum() / 2)


def _alike(one: Tensor, reference: Tensor) -> float | None:
    return _mean_iou(one.argmax(1), reference.argmax(1), one.shape[1])


def _mean_iou(prediction: Tensor, label: Tensor, classes: int) -> float | None:
    confusion = empty_confusion(classes, over_ranks=False)
    count(confusion, prediction, label=label)
    return mean_of(iou_per_class(total(confusion)))


def _on_source(seen: Seen) -> tuple[Tensor, Tensor] | None:
    """How sure the model is of each labelled pixel of the source, and whether it is right; None without any."""
    if seen.source is None or seen.label is None or not bool((seen.label != IGNORE).any()):
        return None
    highest = seen.source.max(dim=1)
    labelled = seen.label != IGNORE
    return highest.values[labelled], (highest.indices == seen.label)[labelled]
