"""Recipes that align domains: predictions, by entropy or discriminators (MinEnt, AdvEnt, AdaptSegNet), features, parts."""

from typing import Any

from segue.trees import Tree, merge

SHARES: Tree = {"share": 0.001, "auxiliary_share": 0.0002}
"""lambda of the network's own prediction and of the auxiliary one, which only the papers' pairs have."""


def minent() -> Tree:
    """MinEnt (Vu et al., CVPR 2019): predictions on the target are made certain; 42.3 mIoU on GTA5 to Cityscapes.

    Command: ``segue train minent --pair street_scenes``. The paper's network and optimiser (DeepLabV2 with an auxiliary
    prediction, SGD) are those of its pairs; elsewhere they are the pair's. FDA's form of the entropy is
    ``--set terms.entropy.eta=2``.
    """
    return _aligned(entropy={**SHARES, "resolution": "picture"})


def advent() -> Tree:
    """AdvEnt (Vu et al., CVPR 2019): entropy maps are alike to a discriminator; 43.8 mIoU on GTA5 to Cityscapes.

    Command: ``segue train advent --pair street_scenes``. The row "ADVENT 45.5" of many tables is the mean of this
    network and MinEnt's.
    """
    return _adversarial("self_information")


def adaptsegnet() -> Tree:
    """AdaptSegNet (Tsai et al., CVPR 2018): predictions are alike to a discriminator; 42.4 mIoU on GTA5 to Cityscapes.

    Command: ``segue train adaptsegnet --pair street_scenes``. The paper has 41.4 with a single level, which is
    ``--set network.auxiliary=null``. Its least squares are ``--set terms.adversarial.loss=least_squares``, with a share
    of 0.01.
    """
    return _adversarial("probabilities")


def intrada() -> Tree:
    """IntraDA (Pan et al., CVPR 2020): AdvEnt, then AdvEnt from the target's easy to its hard pictures.

    46.3 mIoU on GTA5 to Cityscapes, as we recall it. Command: ``segue train intrada --pair street_scenes``. Each of the
    two stages takes ``--steps``. A run of ``advent`` saves the first: ``--set method.model=RUN``.
    """
    return merge(advent(), {"method": {"name": "intra_domain", "source_mean": "labelled", "easy": 0.67}})


def _adversarial(shown: str) -> Tree:
    return _aligned(
        adversarial={
            **SHARES,
            "map": shown,
            "loss": "vanilla",
            "resolution": "picture",
            "discriminator": {"lr": 1e-4, "betas": [0.9, 0.99], "power": 0.9},
        }
    )


def _aligned(**terms: Any) -> Tree:
    """Whole pictures as they come, the source's loss averaged over labelled pixels."""
    return {
        "method": {"name": "aligned", "source_mean": "labelled"},
        "data": {"flip": 0.0, "max_share": 1.0},
        "terms": terms,
    }
