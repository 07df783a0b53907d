"""Methods around made-up networks, and made-up pieces in the place of those that settings build."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from segue.classes import class_list
from segue.methods.context import Context
from segue.methods.method import Term
from segue.methods.offline import OfflineSettings, OfflineTraining
from segue.methods.self_training import SelfTraining, SelfTrainingSettings
from segue.models.settings import NetworkSettings

PIECES = ("teacher", "mix", "augment", "pair", "mask")


def context(student: nn.Module, *, classes: int = 19, steps: int = 40_000, seed: int = 0) -> Context:
    """A run of nothing but this student."""
    names = class_list([f"class {number}" for number in range(classes)])
    return Context("made up", steps, seed, names, (64, 64), NetworkSettings(), student)  # type: ignore[arg-type]


def self_training(
    student: nn.Module, terms: Mapping[str, Term] | None = None, **options: Any
) -> SelfTraining:
    """Self-training that neither mixes nor changes colours unless told; pieces may be given as they are."""
    given = {name: options.pop(name) for name in PIECES if callable(options.get(name))}
    settings = SelfTrainingSettings(**{"mix": None, "augment": None, **options})
    method = settings.build(context(student), terms or {})
    if "mask" in given:
        method.view_names = ("source", "target", "masked")
    for name, piece in given.items():
        setattr(method, name, piece)
    return method


def offline(
    student: nn.Module, terms: Mapping[str, Term] | None = None, *, source: bool = False, **options: Any
) -> OfflineTraining:
    """Training on offline labels, alone or with the source."""
    settings = OfflineSettings(source_share=0.5 if source else None, **options)
    return settings.build(context(student), terms or {})
