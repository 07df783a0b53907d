"""The oracle: what labels of the target would be worth. For measuring only."""

from collections.abc import Mapping
from typing import Any

from segue.trees import Tree, merge


def target_supervised() -> Tree:
    """Supervised training on the target's labels: the one recipe that reads them, and says so when it runs.

    Command: ``segue train target_supervised --pair street_scenes``.
    """
    return {"method": {"name": "source_only"}, "reads_target_labels": True}


def with_target_as_source(data: Mapping[str, Any]) -> Tree:
    """The pair with its labelled target pictures in the place of the source."""
    return merge(data, {"source": {**data["target"]}})
