"""From settings to objects: data sets, networks, a method, a loader."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segue.classes import THINGS
from segue.data.crop import RandomCrop
from segue.data.dataset import Dataset
from segue.data.deck import Deck
from segue.data.loader import Loader
from segue.data.sampler import RareClassSampler, Sampler, UniformSampler
from segue.data.statistics import class_statistics
from segue.engine.domains import training_classes
from segue.engine.method_settings import (
    CoordinationSettings,
    EnsembleDistillationSettings,
    FeatureDistanceSettings,
    HybridAttentionSettings,
    InstanceBankSettings,
    OfflineSettings,
    SamRegularizerSettings,
    SelfTrainingSettings,
)
from segue.engine.settings import Experiment
from segue.methods.collaborative import CollaborativeTeacher
from segue.methods.coordination import Coordination
from segue.methods.ensemble import EnsembleDistillation
from segue.methods.hybrid import HybridPair
from segue.methods.masking import MaskedConsistency
from segue.methods.method import Method, Term
from segue.methods.mixing import ClassMix, StrongAugment
from segue.methods.offline import ClassWeights, OfflineTraining
from segue.methods.self_training import SelfTraining
from segue.methods.source_only import SourceOnly
from segue.methods.teacher import EmaTeacher, Frozen
from segue.methods.terms.confidence import ConfidenceRegularizer
from segue.methods.terms.feature_distance import FeatureDistance
from segue.methods.terms.instance_bank import InstanceBank
from segue.methods.terms.sam_regularizer import SamRegularizer
from segue.models.build import build_segmenter, normalisation
from segue.models.encoders.encoder import Encoder
from segue.models.encoders.sam import build_sam
from segue.models.heads import HEADS
from segue.models.segmenter import Segmenter
from segue.models.weights import load_encoder, load_start
from segue.types import HybridRules, Margins

logger = logging.getLogger(__name__)

PAPER_STEPS = 40_000
"""The length of the papers' runs, in which rates per step are stated."""
BANK_UPDATES = 769
"""How often DIDA's bank is updated in a run of that length: every 50 steps after a warm-up of 1500."""


def build_student(experiment: Experiment) -> Segmenter:
    """The student with its starting weights; random ones follow from torch's current seed."""
    network = experiment.network
    student = build_segmenter(**network_arguments(experiment))
    student.encoder.checkpointed = tuple(network.checkpoint_stages)
    if network.weights is not None:
        load_encoder(student.encoder, network.weights)
    if network.start is not None:
        load_start(student, network.start)
    return student


def network_arguments(experiment: Experiment) -> dict[str, Any]:
    """What ``build_segmenter`` is called with."""
    network = experiment.network.model_dump(exclude={"weights", "start", "checkpoint_stages", "statistics"})
    if network["multi_resolution"] is not None:
        share = network["multi_resolution"]["detail"]
        network["multi_resolution"]["detail"] = [round(share * side) for side in experiment.data.crop]
    return {**network, "num_classes": len(experiment.data.classes)}


def build_method(
    experiment: Experiment,
    student: Segmenter,
    teacher: CollaborativeTeacher | Frozen | None = None,
    members: Sequence[Segmenter] = (),
) -> Method:
    """The recipe's method around a student.

    Args:
        experiment: The run.
        student: The network that is trained.
        teacher: A large one; None for the student's moving average.
        members: Whom ensemble distillation learns from.
    """
    method = _method(experiment, student, teacher, members)
    if experiment.network.statistics == "domain":
        method.separate_statistics()
    return method


def _method(
    experiment: Experiment,
    student: Segmenter,
    teacher: CollaborativeTeacher | Frozen | None,
    members: Sequence[Segmenter],
) -> Method:
    settings = experiment.method
    terms = build_terms(experiment, student)
    bank = terms.get("instance_bank")
    if isinstance(settings, OfflineSettings):
        weights = settings.weights
        return OfflineTraining(
            student,
            terms,
            source=settings.source_share is not None,
            weights=weights and ClassWeights(len(experiment.data.classes), **weights.model_dump()),
            percentile=settings.percentile,
            frozen_statistics=settings.frozen_statistics,
        )
    if isinstance(settings, EnsembleDistillationSettings):
        return EnsembleDistillation(
            student,
            members,
            terms,
            kind=settings.kind,
            temperature=settings.temperature,
            steps=experiment.steps,
        )
    if not isinstance(settings, SelfTrainingSettings):
        return SourceOnly(student, terms)
    mean, std = normalisation(experiment.network.encoder)
    augment = StrongAugment(mean, std, **settings.augment.model_dump()) if settings.augment else None
    mask = settings.mask
    return SelfTraining(
        student,
        teacher
        or EmaTeacher(
            student,
            momentum=settings.momentum,
            statistics=settings.teacher_statistics,
            copies_first=settings.copies_first,
        ),
        terms,
        threshold=settings.threshold,
        mix=ClassMix(settings.class_pool) if settings.mix else None,
        augment=augment,
        calibrate=bank.calibrated if isinstance(bank, InstanceBank) else None,
        coordinate=_coordination(experiment, settings.coordinate),
        pair=_hybrid_pair(student, settings.pair),
        mask=MaskedConsistency(
            mask.block,
            mask.ratio,
            pictures=mask.pictures,
            augment=augment if mask.augment else None,
            moves_statistics=mask.moves_statistics,
        )
        if mask
        else None,
        soft=settings.soft,
        margins=Margins(**settings.margins.model_dump()) if settings.margins else None,
        source_mean=settings.source_mean,
    )


def build_terms(experiment: Experiment, student: Segmenter) -> dict[str, Term]:
    """The recipe's additional losses."""
    terms: dict[str, Term] = {}
    if experiment.terms.feature_distance is not None:
        terms["feature_distance"] = _feature_distance(
            experiment, experiment.terms.feature_distance, _before_start(experiment, student)
        )
    if experiment.terms.instance_bank is not None:
        terms["instance_bank"] = _instance_bank(experiment, experiment.terms.instance_bank, student)
    if experiment.terms.sam_regularizer is not None:
        terms["sam_regularizer"] = _sam_regularizer(
            experiment, experiment.terms.sam_regularizer, student.encoder
        )
    if experiment.terms.confidence is not None:
        terms["confidence"] = ConfidenceRegularizer(**experiment.terms.confidence.model_dump())
    return terms


def build_loader(
    experiment: Experiment,
    source: Dataset,
    target: Dataset | None,
    *,
    statistics_cache: Path,
    device: torch.device,
    rank: int = 0,
    world: int = 1,
    offline: Callable[[str], Tensor] | None = None,
    soft: Callable[[str], Tensor] | None = None,
) -> Loader:
    """The endless loader over both domains.

    Args:
        experiment: The run.
        source: Labelled pictures.
        target: Unlabelled pictures; None for supervised recipes.
        statistics_cache: Where the source's class statistics are kept.
        device: Where batches are wanted.
        rank: This process.
        world: How many there are.
        offline: Labels of target pictures by name, made beforehand.
        soft: Their probabilities, if these are to be learnt.

    Raises:
        ValueError: If a source label is wrong: all of them are read for the statistics, once.
    """
    data = experiment.data
    mean, std = normalisation(experiment.network.encoder)
    rare = data.rare_classes
    sampler: Sampler = UniformSampler(len(source))
    # Counting reads every label: bad ones are found here.
    if rare is not None or data.source.dataset != "street_scenes":
        statistics = class_statistics(source, cache=statistics_cache)
        if rare is not None:
            sampler = RareClassSampler(statistics, temperature=rare.temperature, min_share=rare.min_share)
    return Loader(
        source,
        target,
        source_transform=RandomCrop(
            data.crop,
            fill=mean,
            resize=data.source.resize,
            scale=data.scale,
            flip=data.flip,
            max_share=data.max_share,
            min_share=rare.min_share if rare else 0.0,
            min_crop_ratio=rare.min_crop_ratio if rare else 0.0,
        ),
        target_transform=RandomCrop(
            data.crop,
            fill=mean,
            resize=data.target.resize,
            scale=data.scale,
            flip=data.flip,
            margins=Margins(**data.target.margins.model_dump()) if data.target.margins else None,
            **_mining(experiment),
        ),
        source_sampler=sampler,
        batch=data.batch,
        seed=experiment.seed,
        mean=mean,
        std=std,
        device=device,
        workers=data.workers,
        rank=rank,
        world=world,
        offline=offline,
        soft=soft,
        deck=_deck(experiment, source, target),
    )


def _mining(experiment: Experiment) -> dict[str, Any]:
    settings = experiment.method
    if not isinstance(settings, OfflineSettings) or settings.mining is None:
        return {}
    mined = [training_classes(experiment.data).index(name) for name in settings.mining.classes]
    return {"mined": mined, "mine_chance": settings.mining.chance}


def _deck(experiment: Experiment, source: Dataset, target: Dataset | None) -> Deck | None:
    settings = experiment.method
    if not isinstance(settings, OfflineSettings) or settings.source_share is None or target is None:
        return None
    return Deck(len(source), len(target), share=settings.source_share, seed=experiment.seed)


def _instance_bank(
    experiment: Experiment, settings: InstanceBankSettings, student: Segmenter
) -> InstanceBank:
    head = HEADS[experiment.network.head]
    has_width = "channels" in head.options
    warmup = bank_warmup(experiment, settings)
    interval, momentum = bank_pace(settings, experiment.steps, warmup)
    return InstanceBank(
        classes=len(experiment.data.classes),
        channels=experiment.network.channels if has_width else student.encoder.out_channels[-1],
        **settings.model_dump(exclude={"interval", "momentum", "warmup"}),
        interval=interval,
        momentum=momentum,
        warmup=warmup,
        patience=round(1500 / PAPER_STEPS * experiment.steps),
        seed=experiment.seed,
    )


def bank_warmup(experiment: Experiment, settings: InstanceBankSettings) -> int:
    """Steps before the bank is filled: DIDA is handed a bank that a trained network has filled.

    From pretrained weights the optimiser's own warm-up is enough, 1500 of 40 000 steps. From random numbers it is half
    of the run, whatever its length: the loss, which unlike the target's own no quality weighs, would otherwise be at
    its full strength long before there is something to agree on.
    """
    share = settings.warmup
    if share is None:
        network = experiment.network
        share = 0.5 if network.weights is None and network.start is None else 1500 / PAPER_STEPS
    return round(share * experiment.steps)


def bank_pace(settings: InstanceBankSettings, steps: int, warmup: int) -> tuple[int, float]:
    """The interval and the momentum with which as much of a bank is old at the end as after the papers' run.

    There a row of a class that is in every picture is updated 769 times by 0.999, so that 46 % of it is what it was
    filled with. In a run of another length the interval keeps its share of the steps, and where that, the warm-up
    or a wish changes the number of updates, the momentum makes up for it.

    Source: DIDA's released code for both values; the scaling is ours.

    Args:
        settings: With the interval and the momentum of a run of 40 000 steps.
        steps: The length of the run.
        warmup: Of them, those before the bank is filled.

    Returns:
        Steps from one update to the next, and what an update leaves of a row.
    """
    interval = max(1, round(settings.interval * steps / PAPER_STEPS))
    updates = (steps - 1) // interval - warmup // interval
    return interval, settings.momentum ** (BANK_UPDATES / max(1, updates))


def _sam_regularizer(
    experiment: Experiment, settings: SamRegularizerSettings, encoder: Encoder
) -> SamRegularizer:
    if settings.weights is None:
        logger.warning(
            "features of a random SAM: terms.sam_regularizer.weights is not set, so SAM has learnt nothing"
        )
    mean, std = normalisation(experiment.network.encoder)
    sam = build_sam(settings.encoder, settings.weights, image_size=settings.image_size, mean=mean, std=std)
    return SamRegularizer(
        sam,
        sam_channels=sam.channels,
        channels=encoder.out_channels,
        heads=getattr(encoder, "heads", (1, 2, 4, 8)),
        stages=settings.stages,
        share=settings.share,
        zero_init=settings.zero_init,
        bn_update=settings.bn_update,
        views=("source", "target", "masked") if settings.mask_branch else ("source", "target"),
    )


def _coordination(experiment: Experiment, settings: CoordinationSettings | None) -> Coordination | None:
    if settings is None:
        return None
    alpha = settings.alpha * PAPER_STEPS / experiment.steps
    return Coordination(alpha, mode=settings.mode, threshold=settings.threshold)


def _hybrid_pair(student: Segmenter, settings: HybridAttentionSettings | None) -> HybridPair | None:
    if settings is None:
        return None
    depths = getattr(student.encoder, "depths", ())
    draws = {"step": 1, "stage": len(depths), "block": sum(depths)}[settings.resample]
    rules = HybridRules(
        settings.direction, settings.inter_share, settings.groups_itself, tuple(settings.stages)
    )
    return HybridPair(
        settings.grouping,
        scattered=settings.scattered,
        target_mask=settings.target_mask,
        draws=draws,
        rules=rules,
    )


def _before_start(experiment: Experiment, student: Segmenter) -> nn.Module:
    """The features that ``network.weights`` alone make: a network that ``network.start`` names has moved from them."""
    if experiment.network.start is None:
        return student.feature_network()
    network = experiment.network.model_copy(update={"start": None})
    return build_student(experiment.model_copy(update={"network": network})).feature_network()


def _feature_distance(
    experiment: Experiment, settings: FeatureDistanceSettings, reference: nn.Module
) -> FeatureDistance:
    classes = training_classes(experiment.data)
    names = settings.classes
    if names is None:
        names = [name for name in classes.names if name in THINGS] or list(classes.names)
    if experiment.network.weights is None:
        logger.warning(
            "feature distance to random features: network.weights is not set, so the reference has learnt nothing;"
            " name weights, or leave it out with --set terms.feature_distance=null"
        )
    return FeatureDistance(
        reference,
        classes=[classes.index(name) for name in names],
        num_classes=len(classes),
        share=settings.share,
        min_share=settings.min_share,
    )
