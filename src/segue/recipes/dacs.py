"""DACS (Tranheden et al., WACV 2021): self-training on pictures mixed across domains."""

from segue.engine.tree import Tree


def dacs() -> Tree:
    """DACS with the network and optimiser of the DAFormer family.

    The paper's own network is DeepLabV2 with SGD; its published score belongs to that network.
    Command: ``segue train dacs --pair street_scenes``.
    """
    return {
        "method": {
            "name": "self_training",
            "momentum": 0.99,  # alpha
            "threshold": 0.968,  # tau
            "mix": "class_mix",
            "class_pool": "image",  # each picture offers its own classes
            "augment": {"strength": 0.25},
        }
    }
