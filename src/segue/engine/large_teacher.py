"""A trained network as the teacher: found, checked against the student, its layers measured if they are to follow."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from accelerate import Accelerator
from torch import Tensor

from segue.data.dataset import Dataset
from segue.engine.method_settings import (
    CollaborationSettings,
    EnsembleDistillationSettings,
    SelfTrainingSettings,
)
from segue.engine.settings import Experiment
from segue.evaluate.saliency import Saliency, by_agreement, by_labels, measure
from segue.files import write_text
from segue.methods.collaborative import COMPARED, CollaborativeTeacher, draw_layers, exchangeable
from segue.methods.teacher import Frozen
from segue.models.build import normalisation
from segue.models.segmenter import Segmenter
from segue.models.weights import Card, digest, load_model, model_folder

logger = logging.getLogger(__name__)

LAYERS_FILE = "teacher_layers.json"
"""What the run went by when it chose the layers that follow."""


@dataclass(frozen=True)
class LargeTeacher:
    """A trained model that is to teach.

    Attributes:
        network: On the processor.
        card: What its folder says about it.
        saliency: What its layers are worth, if a file says so.
        digest: Of the file of its weights.
    """

    network: Segmenter
    card: Card
    saliency: Saliency | None
    digest: str


def load_large_teacher(experiment: Experiment, student: Segmenter) -> LargeTeacher | None:
    """The large teacher that an experiment asks for, checked before anything is written.

    Args:
        experiment: The run.
        student: The network that is trained.

    Returns:
        None if the experiment has no large teacher.

    Raises:
        FileNotFoundError: If there is no such model or saliency file.
        ValueError: If none is named, or it does not fit the student or the classes.
    """
    settings = experiment.method
    if not isinstance(settings, SelfTrainingSettings) or settings.teacher != "large":
        return None
    if settings.teacher_model is None:
        raise ValueError(
            f"recipe {experiment.recipe} distils from a trained teacher: name its run with"
            " --set method.teacher_model=RUN"
        )
    folder = model_folder(settings.teacher_model)
    network, card = load_model(folder)
    _check_card(card, experiment, settings.teacher_model)
    saliency = None
    bank = experiment.terms.instance_bank
    if bank is not None and card.network["channels"] != experiment.network.channels:
        raise ValueError(
            f"{settings.teacher_model}: its embedding has {card.network['channels']} channels, the student's"
            f" {experiment.network.channels}: an instance bank compares both; choose equal network.channels"
        )
    if settings.collaborate is not None:
        stages = network.encoder.layers
        if not stages:
            raise ValueError(
                f"{settings.teacher_model}: a {card.network['encoder']} has no layers that could follow the student;"
                " choose a mit encoder, or plain distillation (recipe kd)"
            )
        exchangeable(network, student, [name for s in settings.collaborate.stages for name in stages[s - 1]])
        if settings.collaborate.match in COMPARED and network.shrinks != student.shrinks:
            raise ValueError(
                f"{settings.teacher_model} sees pictures shrunk by {network.shrinks}, the student by {student.shrinks}:"
                " their attention cannot be compared; choose a teacher of the same recipe, or"
                " method.collaborate.match=index"
            )
        if settings.collaborate.saliency is not None:
            saliency = read_saliency(settings.collaborate.saliency, network)
    return LargeTeacher(network, card, saliency, digest(folder))


def load_members(experiment: Experiment) -> list[Segmenter]:
    """The members that an experiment distils, checked before anything is written.

    Args:
        experiment: The run.

    Returns:
        None of them if it distils none.

    Raises:
        FileNotFoundError: If there is no such model.
        ValueError: If none is named, or one does not fit the classes, or the network.
    """
    settings = experiment.method
    if not isinstance(settings, EnsembleDistillationSettings):
        return []
    if not settings.members:
        raise ValueError(
            f"recipe {experiment.recipe} distils models: --set method.members='{{a: RUN, b: RUN}}'"
        )
    if experiment.network.multi_resolution is not None:
        raise ValueError(
            f"recipe {experiment.recipe} does not go with network.multi_resolution: leave it out"
        )
    members: list[Segmenter] = []
    for path in settings.members.values():
        network, card = load_model(model_folder(path))
        _check_card(card, experiment, path)
        members.append(network)
    return members


def build_large_teacher(
    experiment: Experiment,
    folder: Path,
    student: Segmenter,
    loaded: LargeTeacher,
    *,
    source: Dataset,
    target: Dataset,
    accelerator: Accelerator,
) -> CollaborativeTeacher | Frozen:
    """The teacher as it is before the first step; its layers are measured if they are to follow the student.

    Args:
        experiment: The run.
        folder: The run folder, where a measured saliency is kept.
        student: The network that is trained.
        loaded: The teacher's network.
        source: Labelled pictures.
        target: Unlabelled pictures.
        accelerator: Device and processes; the first one measures.
    """
    assert isinstance(experiment.method, SelfTrainingSettings)
    wanted, network = experiment.method.collaborate, loaded.network
    if wanted is None:
        return Frozen(network)
    path = folder / LAYERS_FILE
    made = {"teacher": loaded.digest, "against": wanted.against, "pictures": wanted.pictures}
    saliency = loaded.saliency or _kept(path, made)
    if saliency is None:
        saliency = _measured(wanted, loaded, source, target, experiment, accelerator)
    if accelerator.is_main_process:
        write_text(path, json.dumps({**made, "saliency": saliency.to_json()}, indent=2) + "\n")
    layers = draw_layers(
        saliency.non_salient(
            threshold=wanted.threshold, share=wanted.least, tolerance=wanted.tolerance, signed=wanted.signed
        ),
        share=wanted.fraction,
        seed=experiment.seed,
        stages=[saliency.stages[stage - 1] for stage in wanted.stages],
    )
    if not layers:
        logger.warning("no layer of the teacher is non-salient: none will follow the student")
    return CollaborativeTeacher(
        network,
        student,
        layers,
        match=wanted.match,
        captured=wanted.captured,
        update=wanted.update,
        match_from=round(wanted.match_from * experiment.steps),
        match_until=round(wanted.match_until * experiment.steps),
        every=wanted.every,
        momentum=wanted.momentum,
        seed=experiment.seed,
    )


def read_saliency(path: Path, network: Segmenter) -> Saliency:
    """What `segue saliency` or a run wrote of a network.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is something else, or was measured on another encoder.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; `segue saliency RUN` writes it")
    try:
        saliency = Saliency.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}; measure it again with `segue saliency`") from None
    if saliency.stages != [list(stage) for stage in network.encoder.layers]:
        raise ValueError(f"{path}: measured on another encoder than the teacher's; measure it again")
    if saliency.against == "truth":
        logger.warning("%s was measured with target labels: what comes of it is an oracle", path)
    return saliency


def _check_card(card: Card, experiment: Experiment, path: Path) -> None:
    if list(card.classes) != list(experiment.data.classes):
        raise ValueError(
            f"{path}: the teacher tells other classes apart ({', '.join(card.classes)}) than this pair"
            f" ({', '.join(experiment.data.classes)})"
        )
    mean, std = normalisation(experiment.network.encoder)
    if (tuple(card.mean), tuple(card.std)) != (mean, std):
        raise ValueError(
            f"{path}: the teacher's encoder takes colours differently from {experiment.network.encoder}; choose"
            " a student encoder of the same family"
        )


def _kept(path: Path, made: Mapping[str, object]) -> Saliency | None:
    """What an earlier start of the same run measured."""
    if not path.is_file():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if any(content.get(name) != value for name, value in made.items()):
        return None
    return Saliency.from_json(content["saliency"])


def _measured(
    wanted: CollaborationSettings,
    teacher: LargeTeacher,
    source: Dataset,
    target: Dataset,
    experiment: Experiment,
    accelerator: Accelerator,
) -> Saliency:
    by_source = wanted.against == "source"
    domain = experiment.data.source if by_source else experiment.data.target
    return measure(
        teacher.network.to(accelerator.device),
        source if by_source else target,
        against=wanted.against,
        reference=by_labels(source) if by_source else by_agreement(),
        classes=len(teacher.card.classes),
        mean=teacher.card.mean,
        std=teacher.card.std,
        device=accelerator.device,
        resize=domain.resize,
        most=wanted.pictures,
        share=(accelerator.process_index, accelerator.num_processes),
        total=lambda counts: cast(Tensor, accelerator.reduce(counts, reduction="sum")),
    )
