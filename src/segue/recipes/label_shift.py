"""Recipes that distil FADA, with the source's class frequencies undone or not."""

from segue.recipes.alignment import fada
from segue.trees import Tree, merge

DISTIL: Tree = {"share": 0.5, "rate": 2.0, "scale": [0.5, 1.5], "flip": True}


def undoing() -> Tree:
    """Undoing (Liu et al., CVPR 2022): the target's class frequencies in the place of the source's, when predicting.

    Command: ``segue train undoing --pair street_scenes``. FADA is the host, and what it says after the correction is
    distilled into a new network: ``--set method.distil=null`` ends before that, and ``--set method.model=RUN`` corrects
    a trained model of any recipe. The 59.3 mIoU of tables adds ProDA's self-training, which this is without.
    """
    return _staged("adjust")


def undoing_refined() -> Tree:
    """Undoing (Liu et al., CVPR 2022) in its second form: FADA's classifier learns the source with other frequencies.

    Command: ``segue train undoing_refined --pair street_scenes``. Host, refinement and distillation take ``--steps``
    each, the last one half of them.
    """
    return _staged("refine")


def fada_distilled() -> Tree:
    """FADA (Wang et al., ECCV 2020) with its last stage, in which a new network learns its labels of the target.

    Command: ``segue train fada_distilled --pair street_scenes``. 50.1 mIoU on GTA5 to Cityscapes, as we recall it. A
    run of ``fada`` saves the first stage: ``--set method.model=RUN``.
    """
    return _staged("none")


def _staged(correct: str) -> Tree:
    host = fada()
    staged: Tree = {
        "name": "label_shift",
        "host": {key: value for key, value in host["method"].items() if key != "name"},
        "correct": correct,
        "score": "presence",
        "distil": DISTIL,
    }
    return merge(host, {"method": staged})
