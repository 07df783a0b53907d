"""Where an experiment deviates from its recipe: by a pair's adjustments and the user's own settings."""

from collections.abc import Collection, Mapping
from typing import Any, cast

from segue.engine.experiment import differences
from segue.engine.settings import Experiment
from segue.recipes.catalogue import Size, experiment
from segue.recipes.cityscapes_pairs import CITYSCAPES_PAIRS
from segue.trees import Tree, flatten

PIECES = ("method", "terms", "data.rare_classes")
"""The settings of a recipe's pieces, which a pair may adjust under ``when``."""

NEUTRAL = {
    "seed",
    "data.root",
    "data.workers",
    "network.weights",
    "network.checkpoint_stages",
    "terms.frozen_regularizer.weights",
}
"""Settings that only say where things are and how they are computed."""


def as_in_paper(recipe: str, pair: Tree, *changes: Mapping[str, Any], size: Size | None = None) -> Experiment:
    """An experiment whose pieces are as in the recipe: data, network and budget are all that the pair decides.

    The adjustments of the papers' own pairs stay, as they are the papers'.

    Args:
        changes: What makes the experiment the paper's variant.
        size: As in :func:`segue.recipes.catalogue.experiment`.
    """
    is_papers = pair in CITYSCAPES_PAIRS.values()
    return experiment(recipe, pair if is_papers else _plain(pair), *changes, size=size)


def overridden(own: Experiment, effective: Experiment, *, but: Collection[str] = ()) -> dict[str, str]:
    """What differs from the paper's experiment (from :func:`as_in_paper`) in the one that is run, by dotted key.

    Values are texts such as "0.1 instead of 1", or "left out" for a whole piece; keys in ``but`` do not count.
    """
    before, after = (flatten(one.model_dump(mode="json")) for one in (own, effective))
    deviations: dict[str, str] = {}
    for key in differences(own, effective):
        if key in NEUTRAL or key in but:
            continue
        piece = next((parent for parent in _parents(key) if parent in after), None)
        if piece is not None:
            deviations[piece] = "left out"
        elif key in before:
            deviations[key] = f"{_said(after.get(key))} instead of {_said(before[key])}"
        else:
            deviations[key] = _said(after.get(key))
    return deviations


def _plain(pair: Mapping[str, Any]) -> Tree:
    """A pair without its adjustments of recipes' pieces; conditions keep their other settings."""
    conditions: Mapping[str, Mapping[str, Any]] = pair.get("when", {})
    kept = {condition: _plain(_without_pieces(changes)) for condition, changes in conditions.items()}
    return {**pair, "when": kept}


def _without_pieces(changes: Mapping[str, Any], prefix: str = "") -> Tree:
    left: Tree = {}
    for key, value in changes.items():
        if f"{prefix}{key}" in PIECES:
            continue
        is_inner = key != "when" and isinstance(value, Mapping)
        left[key] = _without_pieces(cast(Tree, value), f"{prefix}{key}.") if is_inner else value
    return left


def _parents(key: str) -> list[str]:
    parts = key.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


def _said(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)
