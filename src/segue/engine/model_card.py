"""The card that is written beside a run's model, and the protocol by which its pictures are predicted."""

import platform
from dataclasses import replace

import accelerate
import torch

from segue import __version__
from segue.engine.domains import training_classes
from segue.engine.settings import DomainSettings, Experiment
from segue.methods.context import Trained
from segue.models.batch_norms import AS_TRAINED, DOMAIN_SPECIFIC
from segue.models.build import normalisation
from segue.models.weights import Card
from segue.protocol import Precision, PredictionProtocol

PRECISIONS: dict[str, Precision] = {
    "auto": "float32",
    "fp32": "float32",
    "bf16": "bfloat16",
    "fp16": "float16",
}


def model_card(experiment: Experiment, *, step: int, batch_statistics: str | None = AS_TRAINED) -> Card:
    """The card of a run's student after ``step`` updates; :mod:`segue.models.batch_norms` names batch statistics."""
    data = experiment.data
    mean, std = normalisation(experiment.network.encoder)
    classes = training_classes(data)
    return Card(
        classes=list(classes.names),
        colours=[list(colour) for colour in classes.colours],
        mean=list(mean),
        std=list(std),
        network=experiment.network.arguments(classes=len(classes), crop=data.crop),
        prediction=prediction_protocol(experiment, data.evaluation or data.target),
        recipe=experiment.recipe,
        step=step,
        versions=versions(),
        batch_statistics=batch_statistics,
    )


def card_of(trained: Trained, student: Card) -> Card:
    """The card of a network that a method leaves behind, given the student's."""
    statistics = student.batch_statistics
    if statistics == DOMAIN_SPECIFIC and not trained.sees_pictures:
        statistics = AS_TRAINED
    return replace(student, network=trained.arguments or student.network, batch_statistics=statistics)


def prediction_protocol(experiment: Experiment, domain: DomainSettings) -> PredictionProtocol:
    """How the pictures of a domain are predicted."""
    settings = experiment.evaluation
    return PredictionProtocol(
        window=experiment.data.crop,
        mode=settings.mode,
        overlap=settings.overlap,
        blend=settings.blend,
        flip=settings.flip,
        scales=tuple(settings.scales),
        resize=domain.resize,
        precision=PRECISIONS[experiment.run.precision],
    )


def versions() -> dict[str, str]:
    """The versions of the software that a result may depend on."""
    return {
        "segue": __version__,
        "torch": torch.__version__,
        "accelerate": accelerate.__version__,
        "python": platform.python_version(),
    }
