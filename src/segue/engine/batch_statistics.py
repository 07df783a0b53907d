"""Decides which batch statistics the networks of a finished run keep, and their name beside every score."""

import torch

from segue.engine.domains import open_domain
from segue.engine.settings import Experiment
from segue.evaluation.model import TrainedModel
from segue.evaluation.reestimation import reestimate
from segue.methods.method import Method
from segue.models.batch_norms import AS_TRAINED, DOMAIN_SPECIFIC, batch_norms
from segue.models.weights import Card


def settle_statistics(
    experiment: Experiment, method: Method, card: Card, *, device: torch.device
) -> str | None:
    """Give all networks that are saved or scored the batch statistics that the experiment asks for.

    The checkpoint of the last step, written before, still holds them as trained, so that a finished run that is
    scored again arrives at the same ones.

    Returns:
        Their name in cards and protocols; None if no network has batch norms.
    """
    left = [trained.network for trained in method.trained().values()]
    networks = [*left, method.scored(experiment.evaluation.network)]
    if not any(batch_norms(network) for network in networks):
        return None
    match experiment.network.statistics:
        case "trained":
            return AS_TRAINED
        case "domain":
            return DOMAIN_SPECIFIC
        case "target":
            target = open_domain(experiment.data, experiment.data.target, labelled=False)
            models = [TrainedModel(network, card, device) for network in dict.fromkeys(networks)]
            for model in models:
                reestimate(model, target)
            return models[0].batch_statistics
