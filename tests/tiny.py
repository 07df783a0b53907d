"""A pair small enough to train any recipe on for a few steps within seconds."""

from pathlib import Path
from typing import Any

import torch

from segue.engine.build import build_student, network_arguments, training_classes
from segue.engine.experiment import Tree, merge, revise
from segue.engine.scoring import plan
from segue.engine.settings import Experiment, SelfTrainingSettings
from segue.models.build import normalisation
from segue.models.weights import Card, save_model
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


def taught(wanted: Experiment, folder: Path) -> Experiment:
    """The experiment with a large untrained teacher, written to a folder, if it needs one."""
    settings = wanted.method
    if not isinstance(settings, SelfTrainingSettings) or settings.teacher != "large":
        return wanted
    large = revise(wanted, {"network": {"encoder": "mit_nano_deep"}})
    classes = training_classes(wanted.data)
    mean, std = normalisation("mit_nano_deep")
    torch.manual_seed(1)
    card = Card(
        classes=list(classes.names),
        colours=[list(colour) for colour in classes.colours],
        mean=list(mean),
        std=list(std),
        network=network_arguments(large),
        prediction=plan(large, large.data.target).protocol(),
        recipe="daformer",
        step=0,
    )
    save_model(folder, build_student(large), card)
    # Of three steps, one compares attention and the last one moves blocks.
    times = {"match_from": 0.4, "match_until": 0.5, "momentum": 0.5, "pictures": 1}
    wish: Tree = {"teacher_model": str(folder)} | ({"collaborate": times} if settings.collaborate else {})
    return revise(wanted, {"method": wish})
