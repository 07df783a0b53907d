"""DACS (Tranheden et al., WACV 2021): self-training on pictures mixed across domains."""

from segue.trees import Tree, merge

MIXING: Tree = {"method": {"name": "self_training", "threshold": 0.968, "mix": "class_mix"}}  # tau
"""What DACS and all that is built on it share."""


def dacs() -> Tree:
    """DACS with the network and optimiser of the DAFormer family.

    The paper's own network is DeepLabV2 with SGD; its published score belongs to that network. What its code does
    otherwise than DAFormer's is done here as in its own. Command: ``segue train dacs --pair street_scenes``.
    """
    return merge(
        MIXING,
        {
            "method": {
                "momentum": 0.99,  # alpha
                "copies_first": True,
                "source_mean": "labelled",
                "class_pool": "image",  # each picture offers its own classes
                "augment": {"strength": 0.25},
                "margins": None,  # the teacher is trusted everywhere
            },
            "data": {"flip": 0.0, "max_share": 1.0},  # crops are taken as they come
        },
    )
