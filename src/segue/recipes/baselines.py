"""Baselines: the lower bounds of every comparison, without target pictures in training, and the oracle."""

from collections.abc import Mapping
from typing import Any

from segue.trees import Tree, merge


def source_only() -> Tree:
    """Supervised training on the source with DAFormer's network and optimiser.

    Its batch statistics are the source's, whatever other recipes keep.

    Command: ``segue train source_only --pair street_scenes``.
    """
    return {"network": {"statistics": "trained"}, "method": {"name": "source_only"}}


def adabn() -> Tree:
    """The same training, then batch statistics of the target's training pictures (Li et al., 2016).

    Nothing is learnt from the target, and a network without batch norms does not change. To do without another
    training: ``segue evaluate RUN --statistics target`` with the run of ``source_only``.

    Command: ``segue train adabn --pair street_scenes``.
    """
    return merge(source_only(), {"network": {"statistics": "target"}})


def target_supervised() -> Tree:
    """The oracle, for measuring only: training on the target's labels, the one recipe that reads them and says so.

    Command: ``segue train target_supervised --pair street_scenes``.
    """
    return {"method": {"name": "source_only"}, "reads_target_labels": True}


def with_target_as_source(data: Mapping[str, Any]) -> Tree:
    """The pair with its labelled target pictures in the source's place."""
    return {**data, "source": dict(data["target"])}
