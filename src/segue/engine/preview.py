"""What the student will be shown: a few crops of both domains with their labels and changed colours."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segue.data.loader import Loader
from segue.engine.build import crops
from segue.engine.domains import open_domain, training_classes
from segue.engine.settings import Experiment
from segue.methods.method import Reading
from segue.methods.mixing import StrongAugment
from segue.models.build import normalisation
from segue.ops.draw import colourise, pictures_of

SHOWN = 3
"""So many crops of each domain."""


@dataclass(frozen=True)
class Preview:
    """Crops as RGB bytes (h,w,3).

    Attributes:
        source: Crops of the source.
        labels: Their labels in the classes' colours.
        target: Crops of the target; empty if the method reads none.
        changed: The same with the method's changes of colour; empty if it makes none.
    """

    source: list[np.ndarray]
    labels: list[np.ndarray]
    target: list[np.ndarray]
    changed: list[np.ndarray]


def draw_preview(experiment: Experiment) -> Preview:
    """Cut crops as the first steps of a run cut them.

    But the source's pictures are drawn evenly, and no crop is cut around a class of labels: a stage may have yet to
    make them.

    Raises:
        ValueError: If the data are not fit to be trained on.
        OSError: If a file is missing.
    """
    data = experiment.data
    depth = experiment.method.learns_depth
    mean, std = normalisation(experiment.network.encoder)
    source_crop, target_crop = crops(experiment, Reading())
    loader = Loader(
        open_domain(data, data.source, labelled=True, depth=depth),
        open_domain(data, data.target, labelled=False, depth=depth)
        if experiment.method.reads_target
        else None,
        source_transform=source_crop,
        target_transform=target_crop,
        batch=SHOWN,
        seed=experiment.seed,
        mean=mean,
        std=std,
    )
    batch = next(loader.steps(0, 1))
    palette = training_classes(data).colours

    def shown(image: Tensor) -> list[np.ndarray]:
        return list(pictures_of(image, mean, std))

    labels = [colourise(label, palette) for label in batch.source.label]
    if batch.target is None:
        return Preview(shown(batch.source.image), labels, [], [])
    target, colours = batch.target.image, experiment.method.colours
    changed: list[np.ndarray] = []
    if colours is not None:
        change = StrongAugment(colours, mean, std)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(experiment.seed)
            changed = [picture for one in target.split(1) for picture in shown(change(one))]
    return Preview(shown(batch.source.image), labels, shown(target), changed)
