"""Whose batch statistics the networks of a finished run keep, and what is said of them beside every score."""

import torch
from torch import nn

from segue.engine.domains import open_domain
from segue.engine.scoring import plan
from segue.engine.settings import Experiment
from segue.evaluate.statistics import reestimate
from segue.methods.method import Method
from segue.models.batch_norms import AS_TRAINED, DOMAIN_SPECIFIC, batch_norms, of_target
from segue.models.build import normalisation


def settle_statistics(experiment: Experiment, method: Method, *, device: torch.device) -> str | None:
    """Give all networks that are saved or scored the batch statistics that the experiment asks for.

    The checkpoint of the last step was written before, so that it holds them as trained, and a finished run that is
    taken up again comes to the same ones.

    Args:
        experiment: The run's settings.
        method: After training.
        device: Where its networks are.

    Returns:
        What cards and protocols call them; None if no network has batch norms.
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
            seen = [as_on_target(experiment, network, device=device) for network in dict.fromkeys(networks)]
            return seen[0]


def as_on_target(experiment: Experiment, network: nn.Module, *, device: torch.device) -> str | None:
    """Estimate a network's batch statistics again, on the target's training pictures as the run's protocol sees them.

    Args:
        experiment: The run's settings.
        network: On its device.
        device: The same.

    Returns:
        What cards and protocols call them; None without batch norms.
    """
    data = experiment.data
    mean, std = normalisation(experiment.network.encoder)
    seen = reestimate(
        network,
        open_domain(data, data.target, labelled=False),
        plan=plan(experiment, data.evaluation or data.target),
        mean=mean,
        std=std,
        device=device,
    )
    return of_target(seen) if seen else None
