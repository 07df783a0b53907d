"""The lower bounds of every comparison: no target picture while training, or none at all."""

from segue.trees import Tree, merge


def source_only() -> Tree:
    """Supervised training on the source, with DAFormer's network and optimiser, no target picture.

    Its batch statistics are the source's, whatever other recipes keep.

    Command: ``segue train source_only --pair street_scenes``.
    """
    return {"network": {"statistics": "trained"}, "method": {"name": "source_only"}}


def adabn() -> Tree:
    """The same training, then batch statistics of the target's training pictures (Li et al., 2016).

    Nothing is learnt from the target, and a network without batch norms stays what it was. Without training again:
    ``segue evaluate RUN --statistics target`` with the run of ``source_only``.

    Command: ``segue train adabn --pair street_scenes``.
    """
    return merge(source_only(), {"network": {"statistics": "target"}})
