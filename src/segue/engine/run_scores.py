"""Scores of a finished run: its networks on labelled pictures, with the protocol beside every number."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from segue.ranks import made_by_first_rank, wait_for_all


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

    def score(
        model: TrainedModel, pictures: Dataset, watch: PictureKeeper | None = None, of: str = "target"
    ) -> dict[str, Any]:
        scores = evaluate(model, pictures, watch=watch, title=f"scoring the {model.role} on the {of}")
        if scores.confusion:
            scores = replace(scores, measure=experiment.evaluation.measure)
        return scores.over(experiment.evaluation.classes, experiment.evaluation.also).to_json()

    scores = score(TrainedModel(network, card, device, role=role), dataset, keeper)
    if data.source_evaluation is not None:
        source = _opened(data, data.source_evaluation)
        protocol = prediction_protocol(experiment, data.source_evaluation)
        with method.statistics_of("source"):
            model = TrainedModel(network, card, device, protocol=protocol, role=role)
            scores["source_evaluation"] = score(model, source, of="source")
    for name, trained in method.trained().items():
        if name != "model":
            model = TrainedModel(trained.network, card_of(trained, card), device, role=trained.called)
            scores[name] = score(model, dataset)
    if experiment.evidence.best is not None and (folder / BEST / MODEL_FILE).is_file():
        best = TrainedModel.load(folder / BEST, device)
        chosen = {"step": best.card.step, "chosen_by": experiment.evidence.best}
        scores[BEST] = score(best, dataset) | chosen
    keeper.write()
    if accelerator.is_main_process:
        write_text(folder / "scores.json", json.dumps(scores, indent=2) + "\n")
    wait_for_all()
    return scores


def _opened(data: DataSettings, domain: DomainSettings) -> Dataset:
    """Labelled pictures, which the first process lists for all."""
    return made_by_first_rank(lambda: open_domain(data, domain, labelled=True))
