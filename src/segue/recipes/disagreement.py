"""Recipes that use the disagreement of a network's two predictions."""

from segue.recipes.alignment import ADAM, SHARES
from segue.trees import Tree, merge

CLASS_WEIGHTS: Tree = {"weight": 7.0, "momentum": 0.9}


def mrnet() -> Tree:
    """MRNet (Zheng and Yang, IJCAI 2020): two predictions of one network agree on the target; 45.5 mIoU.

    Command: ``segue train mrnet --pair street_scenes``. The number is on GTA5 to Cityscapes. It is the first stage of
    ``rmrnet``. Only the hardest fifth of the source's pixels is learnt.
    """
    return {
        "method": {"name": "aligned", **_first()},
        "network": {"head": "deeplab_v2_se", "auxiliary": 0.5},
        "data": {"flip": 0.5, "max_share": 1.0},
        "terms": {
            "multi_scale_adversarial": {
                **SHARES,
                "discriminator": {**ADAM, "channels": 32, "penalty": 0.01},
            },
            "memory": {"share": 0.1, "after": 15_000 / 25_000},  # of the run
        },
    }


def rmrnet() -> Tree:
    """R-MRNet (Zheng and Yang, 2020): MRNet, then labels discounted by the two predictions' disagreement.

    50.3 mIoU on GTA5 to Cityscapes. Command: ``segue train rmrnet --pair street_scenes``. Each of the two stages takes
    ``--steps``. A run of ``mrnet`` saves the first: ``--set method.model=RUN``. Labels that are learnt as they are, for
    which the paper has 48.3, are ``--set method.rectify=false``.
    """
    staged: Tree = {
        "name": "rectified",
        "first": _first(),
        "flip": True,
        "scales": [1.0, 1.25],
        "weights": {**CLASS_WEIGHTS, "small": 1 / 32},  # 64 x 64 pixels of a crop of 512 x 256
        "last": {"rate": 0.5, "dropout": 0.2},
    }
    return merge(mrnet(), {"method": staged})


def _first() -> Tree:
    """How the source is learnt: its crops are of 1024 x 512."""
    return {"source_mean": "labelled", "weights": {**CLASS_WEIGHTS, "small": 1 / 128}, "percentile": 80.0}
