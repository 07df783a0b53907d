"""Scores of a finished run: its network on labelled pictures, with the protocol beside every number."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from segue.data.dataset import Dataset
from segue.engine.domains import open_domain, training_classes
from segue.engine.settings import DomainSettings, Experiment
from segue.evaluate.pictures import PictureKeeper
from segue.evaluate.plan import Plan
from segue.evaluate.run import evaluate
from segue.files import write_text
from segue.methods.method import Method
from segue.models.build import normalisation
from segue.scores import Scores

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def score_run(
    experiment: Experiment, folder: Path, method: Method, *, accelerator: Accelerator, statistics: str | None
) -> dict[str, Any] | None:
    """Score what training made on the pair's labelled pictures, and write ``scores.json``.

    Args:
        experiment: The run's settings.
        folder: The run folder; pictures for the report go there too.
        method: After training.
        accelerator: Device and processes; each picture is predicted by one of them.
        statistics: What the protocol calls the networks' batch statistics; None without batch norms.

    Returns:
        The target's scores, with the source's under ``source_evaluation`` if there are any, and those of every other
        network that the method leaves behind under its folder's name; None without labelled target pictures.
    """
    data, device = experiment.data, accelerator.device
    network = method.scored(experiment.evaluation.network)
    if data.evaluation is None:
        return None
    dataset = open_domain(data, data.evaluation, labelled=True)
    keeper = PictureKeeper(folder, classes=training_classes(data), count=experiment.evaluation.pictures)
    score = partial(_score, experiment, device=device, statistics=statistics)
    scores = score(network, dataset, data.evaluation, watch=keeper).to_json()
    if data.source_evaluation is not None:
        source = open_domain(data, data.source_evaluation, labelled=True)
        with method.statistics_of("source"):
            found = score(network, source, data.source_evaluation)
        scores["source_evaluation"] = found.to_json()
    for name, trained in method.trained().items():
        if name != "model":
            own = partial(score, statistics=trained.statistics(statistics), called=trained.called)
            scores[name] = own(trained.network, dataset, data.evaluation).to_json()
    keeper.write()
    if accelerator.is_main_process:
        write_text(folder / "scores.json", json.dumps(scores, indent=2) + "\n")
    accelerator.wait_for_everyone()
    return scores


def _score(
    experiment: Experiment,
    network: nn.Module,
    dataset: Dataset,
    domain: DomainSettings,
    *,
    device: torch.device,
    statistics: str | None,
    watch: PictureKeeper | None = None,
    called: str | None = None,
) -> Scores:
    """A network's scores on one labelled data set, by the experiment's protocol, which says what it is called."""
    mean, std = normalisation(experiment.network.encoder)
    how = plan(experiment, domain)
    found = evaluate(
        how.predictor(network),
        dataset,
        classes=training_classes(experiment.data),
        mean=mean,
        std=std,
        device=device,
        protocol={
            "network": called or experiment.evaluation.network,
            "batch_statistics": statistics,
            **how.protocol(),
        },
        watch=watch,
    )
    return found.over(experiment.evaluation.classes, experiment.evaluation.also)


def plan(experiment: Experiment, domain: DomainSettings) -> Plan:
    """How the pictures of a domain are predicted."""
    settings = experiment.evaluation
    return Plan(
        window=experiment.data.crop,
        mode=settings.mode,
        overlap=settings.overlap,
        blend=settings.blend,
        flip=settings.flip,
        scales=tuple(settings.scales),
        resize=domain.resize,
        dtype=PRECISIONS[experiment.run.precision],
    )
