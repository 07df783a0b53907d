"""A pair small enough to train any recipe on for a few steps within seconds."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor

from segue.data.streets.dataset import StreetScenes
from segue.engine.build import build_student
from segue.engine.experiment import revise
from segue.engine.loop import Trainer
from segue.engine.model_card import model_card
from segue.engine.settings import Experiment
from segue.methods.dual_path import DualPathSettings
from segue.methods.label_shift import LabelShiftSettings
from segue.methods.offline import OfflineSettings
from segue.methods.self_training import SelfTrainingSettings
from segue.methods.soft_ensemble import EnsembleDistillationSettings
from segue.models.weights import save_model
from segue.recipes.catalogue import RECIPES, experiment
from segue.recipes.classification_pairs import STREET_OBJECTS
from segue.recipes.pairs import DOMAINS, STREET_SCENES
from segue.trees import Tree, merge
from segue.types import Batch, Source, Target

QUIET = Console(file=io.StringIO())

SMALL = {"size": [64, 128]}
STREETS = "street_scenes"
TWICE = {"size": [128, 256], "resize": [128, 256]}

TINY: Tree = merge(
    STREET_SCENES,
    {
        "steps": 3,
        "network": {"channels": 16},
        "data": {
            "source": {"pictures": 6, **SMALL},
            "target": {"pictures": 6, **SMALL},
            "source_evaluation": {"pictures": 2, **SMALL},
            "evaluation": {"pictures": 2, **SMALL},
            "crop": [64, 64],
            "batch": 2,
            "workers": 0,
        },
        "when": {
            "network.multi_resolution": {"data": {**dict.fromkeys(DOMAINS, TWICE), "crop": [128, 128]}},
            # One step counts, one fills, one learns.
            "terms.instance_bank": {"terms": {"instance_bank": {"warmup": 0.34, "interval": 1, "size": 12}}},
            "method.name=dual_path": {
                "steps": 3,
                "method": {"translator": {"generators": {"channels": 4, "blocks": 1, "pool": 2}}},
                "evaluation": {"mode": "whole"},
            },
        },
        "run": {"log_every": 1, "draw_every": 2, "save_every": 2},
        "evaluation": {"pictures": 1},
        "evidence": {"pictures": 0},  # measuring takes longer than three steps
    },
)
"""Street scenes of 64 x 128: six pictures a domain, crops of 64 x 64, three steps."""


TINY_OBJECTS: Tree = merge(
    STREET_OBJECTS,
    {
        "steps": 3,
        "network": {"channels": 16},
        "data": {
            "source": {"pictures": 8, "size": [48, 48]},
            "target": {"pictures": 8, "size": [48, 48]},
            "source_evaluation": {"pictures": 4, "size": [48, 48]},
            "evaluation": {"pictures": 8, "size": [48, 48]},
            "crop": [32, 32],
            "batch": 4,
        },
        "run": {"log_every": 1, "draw_every": 2, "save_every": 2},
        "evaluation": {"pictures": 1},
        "evidence": {"pictures": 0},
    },
)
"""Street objects, which have one class each: eight pictures a domain."""


def tiny(recipe: str, *wishes: dict[str, Any]) -> Experiment:
    """A recipe on the tiny pair, or on the one whose pictures have one class each."""
    pair = TINY_OBJECTS if RECIPES[recipe].names_pictures else TINY
    return experiment(recipe, pair, *wishes, *map(_unsized, wishes))


def _unsized(wish: dict[str, Any]) -> Tree:
    """Files that a wish names in the place of street scenes are as large as they are."""
    data = wish.get("data", {})
    named = [role for role in DOMAINS if (data.get(role) or {}).get("dataset", STREETS) != STREETS]
    return {"data": {role: {"size": None} for role in named}} if named else {}


def batch(step: int, slots: slice) -> Batch:
    """Some of the four slots of a step's batch of noise, in which every pixel has a label."""
    generator = torch.Generator().manual_seed(step)
    image = torch.randn(4, 3, 64, 64, generator=generator)
    other = torch.randn(4, 3, 64, 64, generator=generator)
    label = torch.randint(0, 12, (4, 64, 64), generator=generator)
    soft = torch.randn(4, 12, 64, 64, generator=generator).softmax(1)
    depth = torch.rand(2, 4, 64, 64, generator=generator) + 1.5
    names = [""] * 4
    return Batch(
        Source(image[slots], label[slots], names[slots], depth[0, slots]),
        Target(other[slots], None, None, names[slots], soft[slots], depth[1, slots]),
    )


PIXEL_RECIPES = [name for name, recipe in RECIPES.items() if not recipe.names_pictures]
"""The recipes for labels of pixels."""


def ready(wanted: Experiment, folder: Path) -> Experiment:
    """The experiment with the untrained models that its recipe starts from, written to a folder."""
    settings = wanted.method
    if isinstance(settings, SelfTrainingSettings) and settings.teacher.name != "average":
        write_model(revise(wanted, {"network": {"encoder": f"{wanted.network.encoder}_deep"}}), folder)
        # Of three steps, one compares attention and the last one moves blocks.
        times = {"match_from": 0.4, "match_until": 0.4, "momentum": 0.5, "pictures": 1, "tolerance": 100.0}
        wish: Tree = {"model": str(folder)} | (times if settings.teacher.name == "collaborative" else {})
        return revise(wanted, {"method": {"teacher": wish}})
    if isinstance(settings, OfflineSettings) and settings.rounds is not None:
        write_model(wanted, folder)
        # Two rounds of the pair's three steps, with half of the source.
        rounds = {"count": 2, "epochs": None, "source_portion": 0.5, "source_most": 0.5}
        return revise(wanted, {"network": {"start": str(folder)}, "method": {"rounds": rounds}})
    if isinstance(settings, OfflineSettings) and settings.ensemble is not None:
        for seed, name in enumerate(("one", "two")):
            write_model(wanted, folder / name, seed=seed)
        members = {name: str(folder / name) for name in ("one", "two")}
        return revise(wanted, {"method": {"ensemble": {"members": members, "students": {"share": 0.4}}}})
    if isinstance(settings, LabelShiftSettings) and settings.distil is not None:
        return revise(
            wanted, {"method": {"distil": {"share": 1.0}}}
        )  # its last stage, too, takes three steps
    if isinstance(settings, DualPathSettings):
        write_model(wanted, folder)
        # What differs between the recipes: one trains translators, the others have none or one that is measured.
        kind = "none" if settings.mixture is None else settings.translator.kind
        short: Tree = {"repeats": 1, "correction": {"count": 0}, "translator": {"kind": kind}}
        quick: Tree = {"data": {"source_evaluation": None}, "run": {"draw_every": 0}}
        return revise(wanted, {"network": {"start": str(folder)}, "method": short}, quick)
    if isinstance(settings, EnsembleDistillationSettings):
        for seed, name in enumerate(("one", "two")):
            write_model(wanted, folder / name, seed=seed)
        return revise(wanted, {"method": {"members": {n: str(folder / n) for n in ("one", "two")}}})
    return wanted


def write_model(wanted: Experiment, folder: Path, *, seed: int = 1) -> None:
    """Write the untrained student of an experiment as a model folder."""
    torch.manual_seed(seed)
    save_model(folder, build_student(wanted), model_card(wanted, step=0))


@contextmanager
def stopped_after_two_steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within, a training is interrupted before its third step."""
    update = Trainer.update

    def stopped(self: Trainer, batches: Any, step: int, painter: Any = None) -> Any:
        if step == 2:
            raise KeyboardInterrupt
        return update(self, batches, step, painter)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Trainer, "update", stopped)
        yield


def domains_whose_labels_are_opened(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Empty at first; from now on each label of street scenes that is opened adds its domain."""
    opened: set[str] = set()
    label = StreetScenes.label

    def watched(self: StreetScenes, index: int) -> Tensor:
        opened.add(self.domain)
        return label(self, index)

    monkeypatch.setattr(StreetScenes, "label", watched)
    return opened


def assert_same_tensors(one: Path, other: Path) -> None:
    """Two files hold the same names with the same bits, and not nothing."""
    mine, theirs = load_file(one), load_file(other)
    assert mine and mine.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items()), one
