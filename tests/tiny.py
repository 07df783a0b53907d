"""A pair small enough to train any recipe on for a few steps within seconds."""

from typing import Any

from segue.engine.experiment import Tree, merge
from segue.engine.settings import Experiment
from segue.recipes.catalogue import experiment
from segue.recipes.pairs import STREET_SCENES

TINY: Tree = merge(
    STREET_SCENES,
    {
        "steps": 3,
        "network": {"channels": 16},
        "data": {
            "source": {"pictures": 6},
            "target": {"pictures": 6},
            "source_evaluation": {"pictures": 2},
            "evaluation": {"pictures": 2},
            "crop": [64, 64],
            "batch": 2,
            "workers": 0,
        },
        "high_resolution": {"data": {"crop": [128, 128]}},
        "run": {"log_every": 1, "draw_every": 2, "save_every": 2},
        "evaluation": {"pictures": 1},
    },
)
"""Street scenes: six pictures a domain, crops of 64 x 64, three steps."""


def tiny(recipe: str, *wishes: dict[str, Any]) -> Experiment:
    """A recipe on the tiny pair."""
    return experiment(recipe, TINY, *wishes)
