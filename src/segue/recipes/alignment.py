"""Recipes that align the domains: their predictions, by entropy or by discriminators, features or patches."""

from typing import Any

from segue.trees import Tree, merge

SHARES: Tree = {"share": 0.001, "auxiliary_share": 0.0002}
"""lambda of the network's own prediction and of the auxiliary one, which only the papers' pairs have."""


ADAM: Tree = {"lr": 1e-4, "betas": [0.9, 0.99], "power": 0.9}
"""How all discriminators of these papers learn."""


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


def advent_minent() -> Tree:
    """The mean of AdvEnt's and MinEnt's predictions: the row "ADVENT 45.5" of many tables (Vu et al., CVPR 2019).

    Command: ``segue train advent_minent --pair street_scenes``. Both networks take ``--steps``. Finished runs are named
    instead: ``--set method.models='{advent: RUN, minent: RUN}'``. Equal weights are recalled from the paper.
    """
    trained = {"advent": ["adversarial"], "minent": ["entropy"]}
    return merge(minent(), advent(), {"method": {"name": "average", "trained": trained}})


def fada() -> Tree:
    """FADA (Wang et al., ECCV 2020): features of both domains are alike, class by class, to a discriminator.

    Command: ``segue train fada --pair street_scenes``. Tables have 50.1 mIoU on GTA5 to Cityscapes, as we recall it,
    after a stage of self-distillation, which is ``fada_distilled``; this is without.
    """
    tree = _aligned(
        class_adversarial={
            "share": 0.001,
            "temperature": 1.8,
            "ceiling": 0.9,
            "channels": [512, 256],
            "discriminator": ADAM,
        }
    )
    return merge(tree, {"method": {"temperature": 1.8}})


def patchalign() -> Tree:
    """PatchAlign (Tsai et al., ICCV 2019): AdaptSegNet, and kinds of patches that are alike; 46.5 mIoU.

    Command: ``segue train patchalign --pair street_scenes``. The number is on GTA5 to Cityscapes. No code was
    published: shares are recalled, the networks' widths are ours.
    """
    first = 10_000 / 120_000  # of the run, in which patches are only named
    tree = _adversarial("probabilities")
    tree["terms"]["adversarial"] |= {"share": 0.0005, "after": first}
    patches = {
        "share": 0.01,
        "adversarial_share": 0.0005,
        "after": first,
        "patch": [32, 64],
        "kinds": 50,
        "discriminator": ADAM,
    }
    return merge(tree, {"terms": {"patch_alignment": patches}})


def apoda() -> Tree:
    """APODA (Yang et al., AAAI 2020): features are classified alike after adversarial changes; 45.9 mIoU.

    Command: ``segue train apoda --pair street_scenes``. The number is on GTA5 to Cityscapes. No code was
    published: what is done follows the abstract, all constants are ours.
    """
    first = 5_000 / 120_000  # of the run
    return _aligned(
        entropy={"share": 0.1, "auxiliary_share": 0.0, "resolution": "picture", "after": first},
        point_perturbation={
            "radius": 0.1,
            "ascents": 3,
            "doubt": 1.0,
            "share": 1.0,
            "consistency_share": 0.1,
            "after": first,
            "discriminator": ADAM,
        },
    )


def _adversarial(shown: str) -> Tree:
    return _aligned(
        adversarial={
            **SHARES,
            "map": shown,
            "loss": "vanilla",
            "resolution": "picture",
            "discriminator": ADAM,
        }
    )


def _aligned(**terms: Any) -> Tree:
    """Whole pictures as they come, the source's loss averaged over labelled pixels."""
    return {
        "method": {"name": "aligned", "source_mean": "labelled"},
        "data": {"flip": 0.0, "max_share": 1.0},
        "terms": terms,
    }
