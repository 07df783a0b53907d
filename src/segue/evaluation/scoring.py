"""Scoring a model on labelled pictures, with the protocol of the measurement."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from segue import progress
from segue.classes import ClassList
from segue.evaluation.metrics import count, empty_confusion, scores, total
from segue.evaluation.model import Model
from segue.evaluation.pictures import LabelledPictures
from segue.evaluation.predictors import classify
from segue.evaluation.read_ahead import read_ahead
from segue.ranks import of_all_ranks, own_share
from segue.scores import Scores
from segue.types import IGNORE


@dataclass(frozen=True)
class Compared:
    """One evaluated picture.

    Attributes:
        index: Its place in the data set.
        total: The number of pictures in the data set.
        image: RGB, 0 to 255.
        label: Training ids, IGNORE where unlabelled.
        prediction: Training ids, of the label's size.
    """

    index: int
    total: int
    name: str
    image: UInt8[Tensor, "3 h w"]
    label: UInt8[Tensor, "h2 w2"]
    prediction: UInt8[Tensor, "h2 w2"]


def evaluate(
    model: Model,
    dataset: LabelledPictures,
    *,
    watch: Callable[[Compared], None] | None = None,
    title: str = "scoring",
) -> Scores:
    """Score a model on all pictures of a data set at the size of their labels.

    Processes divide the pictures, and all return the same scores.

    Args:
        model: Its classes are those of the labels.
        watch: Called with every picture that this process has predicted.
        title: What its progress is called, where that is shown.

    Returns:
        The scores over all pixels of all pictures, not the mean over pictures.

    Raises:
        ValueError: If a label has a value outside the class list, or no pixel is labelled.
    """
    classes, device = model.classes, model.device
    # Counts are kept on the processor, unless processes exchange them through their GPUs.
    counting = device if device.type == "cuda" else torch.device("cpu")
    confusion = empty_confusion(len(classes)).to(counting)

    def read(index: int) -> tuple[str, Tensor, Tensor]:
        return dataset.name(index), dataset.image(index), dataset.label(index)

    sizes: set[tuple[int, int]] = set()
    own = own_share(len(dataset))
    with progress.counting(title, len(own)) as done:
        for index, (name, image, label) in read_ahead(read, own):
            _check_label(label, classes, name)
            size = (label.shape[-2], label.shape[-1])
            sizes.add(size)
            prediction = classify(model.probabilities(image[None]), size)[0]
            count(confusion, prediction.to(counting), label=label.to(counting))
            if watch is not None:
                watch(Compared(index, len(dataset), name, image, label, prediction.cpu()))
            done(index)
    measured = {
        **model.described(),
        "classes": list(classes.names),
        "ignored_label": IGNORE,
        "absent_classes": "left out",
        "scored_at": "label size",
        "label_size": _only(set().union(*of_all_ranks(sizes))),
        "pictures": len(dataset),
    }
    return scores(
        total(confusion),
        classes.names,
        protocol=measured,
        whole=measured["label_size"] == [1, 1],
    )


def _only(sizes: set[tuple[int, int]]) -> list[int] | str:
    return list(next(iter(sizes))) if len(sizes) == 1 else "several"


def _check_label(label: UInt8[Tensor, "h w"], classes: ClassList, name: str) -> None:
    wrong = label[(label >= len(classes)) & (label != IGNORE)]
    if wrong.numel():
        raise ValueError(
            f"label of {name}: value {int(wrong[0])}, but the classes are 0 to {len(classes) - 1} and"
            f" {IGNORE} is ignored; give a class map, or mend the labels"
        )
