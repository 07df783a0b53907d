"""DACS (Tranheden et al., WACV 2021): self-training on pictures mixed across domains."""

from segue.trees import Tree, merge

MIXING: Tree = {
    "method": {
        "name": "self_training",
        "teacher": {"name": "average"},
        "threshold": 0.968,  # tau
        "mix": "class_mix",
    }
}
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
                "teacher": {"momentum": 0.99, "copies_first": True},  # alpha
                "source_mean": "labelled",
                "class_pool": "image",  # each picture offers its own classes
                "augment": {"strength": 0.25},
                "margins": None,  # the teacher is trusted everywhere
            },
            "data": {"flip": 0.0, "max_share": 1.0},  # crops are taken as they come
        },
    )
