"""What is in force where it is not what a recipe sets: a pair's adjustments and a user's wishes, to be told."""

from collections.abc import Collection, Mapping
from typing import Any, cast

from segue.engine.experiment import differences
from segue.engine.settings import Experiment
from segue.recipes.catalogue import Size, experiment
from segue.recipes.cityscapes_pairs import CITYSCAPES_PAIRS
from segue.trees import Tree, flatten

PIECES = ("method", "terms", "data.rare_classes")
"""The settings that a recipe's pieces have, which a pair may adjust under ``when``."""

NEUTRAL = {
    "seed",
    "data.root",
    "data.workers",
    "network.weights",
    "network.checkpoint_stages",
    "terms.frozen_regularizer.weights",
}
"""Settings that say where things are and how they are computed."""


def as_in_paper(recipe: str, pair: Tree, *changes: Mapping[str, Any], size: Size | None = None) -> Experiment:
    """An experiment whose pieces are as the recipe has them: data, network and budget are all that the pair says.

    The adjustments of the papers' own pairs stay, as they are the papers'.

    Args:
        recipe: Its name.
        pair: Settings of the pair.
        changes: What makes the experiment the paper's variant.
        size: As in :func:`segue.recipes.catalogue.experiment`.
    """
    is_papers = pair in CITYSCAPES_PAIRS.values()
    return experiment(recipe, pair if is_papers else _plain(pair), *changes, size=size)


def overridden(own: Experiment, effective: Experiment, *, but: Collection[str] = ()) -> dict[str, str]:
    """What is set otherwise than it would be.

    Args:
        own: From :func:`as_in_paper`.
        effective: What is run.
        but: Further keys that do not count.

    Returns:
        By dotted key, as in "0.1 instead of 1"; "left out" for a whole piece.
    """
    before, after = (flatten(one.model_dump(mode="json")) for one in (own, effective))
    found: dict[str, str] = {}
    for key in differences(own, effective):
        if key in NEUTRAL or key in but:
            continue
        piece = next((parent for parent in _parents(key) if parent in after), None)
        if piece is not None:
            found[piece] = "left out"
        elif key in before:
            found[key] = f"{_said(after.get(key))} instead of {_said(before[key])}"
        else:
            found[key] = _said(after.get(key))
    return found


def _plain(pair: Mapping[str, Any]) -> Tree:
    """A pair that adjusts no piece of a recipe: its conditions keep what they say of anything else."""
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
