"""The lower bound of every comparison."""

from segue.engine.tree import Tree


def source_only() -> Tree:
    """Supervised training on the source, with DAFormer's network and optimiser, no target picture.

    Command: ``segue train source_only --pair street_scenes``.
    """
    return {"method": {"name": "source_only"}}
