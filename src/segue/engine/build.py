"""Builds the student, its method and the loader from their settings."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from segue.data.crop import RandomCrop
from segue.data.dataset import Dataset
from segue.data.deck import Deck
from segue.data.loader import Loader, Transform
from segue.data.part import Joined
from segue.data.published_layouts import GENERATED
from segue.data.sampler import MixedSampler, RareClassSampler, Sampler, UniformSampler
from segue.data.statistics import class_statistics
from segue.data.whole_crop import WholeCrop
from segue.engine.domains import open_offline, training_classes
from segue.engine.settings import DataSettings, DomainSettings, Experiment
from segue.evaluation.soft_labels import open_soft_labels
from segue.machine import cores
from segue.methods.context import Context
from segue.methods.method import Method, Reading
from segue.models import weights
from segue.models.batch_norms import share_statistics
from segue.models.build import normalisation
from segue.models.segmenter import Segmenter
from segue.ranks import is_first_rank, machine_processes, made_by_first_rank

MOST_READERS = 8
"""Each takes memory; who needs more of them says so."""


def build_student(experiment: Experiment) -> Segmenter:
    """The student with its starting weights; random ones follow from torch's current seed."""
    data = experiment.data
    return weights.build_student(experiment.network, classes=data.classes, crop=data.crop)


def build_method(experiment: Experiment, student: Segmenter) -> Method:
    """The recipe's method, with its terms, around a student; it may raise what ``MethodSettings.build`` raises.

    Raises:
        ValueError: If the network's head learns what the recipe does not teach.
    """
    if student.predicts_depth and not experiment.method.learns_depth:
        raise ValueError(
            f"network.head={experiment.network.head} predicts depth, which recipe {experiment.recipe} does not teach:"
            " choose another head"
        )
    context = Context(
        recipe=experiment.recipe,
        steps=experiment.steps,
        seed=experiment.seed,
        classes=training_classes(experiment.data),
        crop=experiment.data.crop,
        network=experiment.network,
        student=student,
    )
    terms = {name: settings.build(context) for name, settings in experiment.terms.used().items()}
    method = experiment.method.build(context, terms)
    if experiment.run.sync_batch_norm:
        share_statistics(method)
    if experiment.network.statistics == "domain":
        method.separate_statistics()
    return method


def build_loader(
    experiment: Experiment,
    source: Dataset,
    target: Dataset | None,
    *,
    few: Dataset | None = None,
    statistics_cache: Path,
    device: torch.device,
    reading: Reading,
    rank: int = 0,
    world: int = 1,
) -> Loader:
    """The endless loader over both domains, for one of ``world`` processes.

    The source's labels are read once, and their statistics kept in a file.

    Args:
        few: Labelled target pictures to mix into the source's.

    Raises:
        ValueError: If a source label is wrong.
    """
    offline, soft = _offline_labels(experiment, reading, target)
    source_crop, target_crop = crops(experiment, reading)
    mean, std = normalisation(experiment.network.encoder)
    deck = None
    if reading.source_share is not None and target is not None:
        deck = Deck(len(source), len(target), share=reading.source_share, seed=experiment.seed)
    sampler = _sampler(experiment, source, statistics_cache)
    if few is not None:
        share = experiment.data.few_share
        sampler = MixedSampler(sampler, before=len(source), few=len(few), share=share)
        source = Joined(source, few)
    return Loader(
        source,
        target,
        source_transform=source_crop,
        target_transform=target_crop,
        source_sampler=sampler,
        batch=experiment.data.batch,
        seed=experiment.seed,
        mean=mean,
        std=std,
        device=device,
        workers=readers(experiment.data, device),
        rank=rank,
        world=world,
        offline=offline,
        soft=soft,
        deck=deck,
        least=(
            _least(experiment.data.source, experiment.data),
            _least(experiment.data.target, experiment.data),
        ),
        depth=experiment.method.learns_depth,
    )


def _least(domain: DomainSettings, data: DataSettings) -> tuple[int, int] | None:
    """The box that a domain's pictures are needed at, if they may be decoded at less than their size."""
    if not domain.draft or domain.resize is None:
        return None
    height, width = (math.ceil(side * max(1.0, _scale(domain, data)[1])) for side in domain.resize)
    return height, width


def _scale(domain: DomainSettings, data: DataSettings) -> tuple[float, float]:
    return data.scale if domain.scale is None else domain.scale


def readers(data: DataSettings, device: torch.device) -> int:
    """How many processes read pictures for one that trains: as the settings say, else by cores and batch.

    Beside a GPU: all cores but one of those that this process has for itself, and no more than pictures in a step. A
    processor that trains as well gives one core away at most.
    """
    if data.workers is not None:
        return data.workers
    own = cores() // machine_processes()
    if device.type == "cpu":
        return max(0, min(1, own - 1))
    return max(1, min(own - 1, 2 * data.batch, MOST_READERS))


def crops(experiment: Experiment, reading: Reading) -> tuple[Transform, Transform]:
    """How the pictures of the source and of the target are cropped."""
    data, rare = experiment.data, experiment.data.rare_classes
    fill, _ = normalisation(experiment.network.encoder)
    if data.names_pictures:
        cut = partial(
            WholeCrop, data.crop, cut=data.cut, area=data.area, ratio=data.ratio, flip=data.flip, fill=fill
        )
        return cut(resize=data.source.resize), cut(resize=data.target.resize)
    crop = partial(RandomCrop, data.crop, fill=fill, flip=data.flip)
    source = crop(
        resize=data.source.resize,
        scale=_scale(data.source, data),
        max_share=data.max_share,
        min_share=rare.min_share if rare else 0.0,
        min_crop_ratio=rare.min_crop_ratio if rare else 0.0,
    )
    target = crop(
        resize=data.target.resize,
        scale=_scale(data.target, data),
        margins=data.target.margins,
        mined=[training_classes(data).index(name) for name in reading.mined],
        mine_chance=reading.mine_chance,
    )
    return source, target


def _sampler(experiment: Experiment, source: Dataset, cache: Path) -> Sampler:
    """Decides which source picture comes next."""
    data, rare = experiment.data, experiment.data.rare_classes
    if rare is not None:
        statistics = made_by_first_rank(lambda: class_statistics(source, cache=cache))
        return RareClassSampler(statistics, temperature=rare.temperature, min_share=rare.min_share)
    if data.source.dataset not in GENERATED and is_first_rank():
        class_statistics(source, cache=cache)  # reads every label once, and so finds bad ones before training
    return UniformSampler(len(source))


def _offline_labels(
    experiment: Experiment, reading: Reading, target: Dataset | None
) -> tuple[Callable[[str], Tensor] | None, ...]:
    """The target's offline labels and their probabilities, each None unless it is learnt."""
    folder = reading.labels
    if folder is None or target is None:
        return None, None
    labels = made_by_first_rank(lambda: open_offline(experiment.data, folder, target))
    soft = open_soft_labels(folder, training_classes(experiment.data)) if reading.soft else None
    return labels, soft
