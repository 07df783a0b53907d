"""Scores of a finished run: its networks on labelled pictures, with the protocol beside every number."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from segue.data.dataset import Dataset
from segue.engine.domains import open_domain
from segue.engine.model_card import card_of, prediction_protocol
from segue.engine.settings import DataSettings, DomainSettings, Experiment
from segue.engine.witness import BEST
from segue.evaluation.kept_pictures import PictureKeeper
from segue.evaluation.model import TrainedModel
from segue.evaluation.scoring import evaluate
from segue.files import write_text
from segue.methods.method import Method
from segue.models.weights import MODEL_FILE, Card
from segue.ranks import is_first_rank, made_by_first_rank, wait_for_all


def score_run(
    experiment: Experiment, folder: Path, method: Method, card: Card, *, accelerator: Accelerator
) -> dict[str, Any] | None:
    """Score the networks of a trained method on the pair's labelled pictures, and write ``scores.json``.

    The processes share the pictures; some are kept in the run folder for the report. The card is the student's.

    Returns:
        The target's scores, with the source's under ``source_evaluation`` if there are any, and those of every other
        network that the method leaves behind under its folder's name; None without labelled target pictures.
    """
    data, device, role = experiment.data, accelerator.device, experiment.evaluation.network
    network = method.scored(role)
    if data.evaluation is None:
        return None
    dataset = _opened(data, data.evaluation)
    keeper = PictureKeeper(folder, classes=card.class_list, count=experiment.evaluation.pictures)
    student = TrainedModel(network, card, device, role=role)
    scores = _score(experiment, student, dataset, keeper)
    with method.statistics_of("source"):
        _add_source(scores, experiment, student)
    for name, trained in method.trained().items():
        if name != "model":
            model = TrainedModel(trained.network, card_of(trained, card), device, role=trained.called)
            scores[name] = _score(experiment, model, dataset)
    if experiment.evidence.best is not None and (folder / BEST / MODEL_FILE).is_file():
        best = TrainedModel.load(folder / BEST, device)
        chosen = {"step": best.card.step, "chosen_by": experiment.evidence.best}
        scores[BEST] = _score(experiment, best, dataset) | chosen
    _write(folder, scores, keeper)
    return scores


def score_joined(experiment: Experiment, folder: Path, device: torch.device) -> dict[str, Any] | None:
    """Score the run's model, joined from several trained ones, as :func:`score_run` scores a student."""
    data = experiment.data
    if data.evaluation is None:
        return None
    model = TrainedModel.load(folder / "model", device)
    keeper = PictureKeeper(folder, classes=model.classes, count=experiment.evaluation.pictures)
    scores = _score(experiment, model, _opened(data, data.evaluation), keeper)
    _add_source(scores, experiment, model)
    _write(folder, scores, keeper)
    return scores


def _score(
    experiment: Experiment,
    model: TrainedModel,
    pictures: Dataset,
    watch: PictureKeeper | None = None,
    of: str = "target",
) -> dict[str, Any]:
    scores = evaluate(model, pictures, watch=watch, title=f"scoring the {model.role} on the {of}")
    if scores.confusion:
        scores = replace(scores, measure=experiment.evaluation.measure)
    return scores.over(experiment.evaluation.classes, experiment.evaluation.also).to_json()


def _add_source(scores: dict[str, Any], experiment: Experiment, model: TrainedModel) -> None:
    domain = experiment.data.source_evaluation
    if domain is None:
        return
    protocol = prediction_protocol(experiment, domain)
    model = TrainedModel(model.network, model.card, model.device, protocol=protocol, role=model.role)
    pictures = _opened(experiment.data, domain)
    scores["source_evaluation"] = _score(experiment, model, pictures, of="source")


def _write(folder: Path, scores: dict[str, Any], keeper: PictureKeeper) -> None:
    keeper.write()
    if is_first_rank():
        write_text(folder / "scores.json", json.dumps(scores, indent=2) + "\n")
    wait_for_all()


def _opened(data: DataSettings, domain: DomainSettings) -> Dataset:
    """Labelled pictures, which the first process lists for all."""
    return made_by_first_rank(lambda: open_domain(data, domain, labelled=True))
