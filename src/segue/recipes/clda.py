"""CLDA: a large teacher and a small student that improve each other; and plain distillation beside it."""

from segue.recipes.daformer_family import daformer, hrda
from segue.trees import Tree, merge

DISTILLATION: Tree = {
    "size": "distilled",  # the pair's smaller network
    "method": {
        "teacher": {
            "name": "large"
        },  # f_T replaces the moving average; its labels of the target are learnt mixed
        "threshold": 0.968,  # for its confidence
    },
}

COLLABORATION: Tree = {
    "method": {
        "teacher": {
            "name": "collaborative",
            "threshold": 0.1,  # points of mean IoU that make a layer salient
            "fraction": 0.3,  # of the non-salient layers follow
            "match": "channel",
            "update": "block",
            "match_from": 0.1,  # T2, T3 and alpha are not in the paper
            "match_until": 0.125,
            "momentum": 0.999,
        }
    }
}


def kd() -> Tree:
    """Plain distillation: DAFormer whose target labels come from a trained large model.

    Command: ``segue train kd --pair gta5_to_cityscapes --set method.teacher.model=RUN``. The student is MiT-B3 on
    the pairs of the papers; 68.9 mIoU on GTA5 to Cityscapes in CLDA's ablation, from a teacher with 68.3.
    """
    return merge(daformer(), DISTILLATION)


def clda() -> Tree:
    """Distillation whose teacher's useless layers follow the student: 69.5 mIoU on GTA5 to Cityscapes.

    Command: ``segue train clda --pair gta5_to_cityscapes --set method.teacher.model=RUN``. Which layers those are
    is measured before training without target labels, or read from what ``segue saliency`` wrote:
    ``--set method.teacher.saliency=FILE``. On the street scenes: a teacher with ``mit_nano_deep`` and the pair's
    own ``mit_nano``, or ``mit_b2`` and ``--set network.encoder=mit_b1``.
    """
    return merge(kd(), COLLABORATION)


def clda_plain() -> Tree:
    """CLDA as written in its equation 4: the student learns the teacher's labels on the target picture itself.

    The published figures are of CLDA "integrated with" DAFormer and HRDA, whose student sees the target mixed with
    the source and with changed colours, as in the recipe ``clda``.
    """
    return merge(clda(), {"method": {"mix": None, "augment": None}})


def clda_hrda() -> Tree:
    """CLDA with HRDA's network for teacher and student: 73.7 mIoU on GTA5 to Cityscapes, the teacher 74.6."""
    return merge(hrda(), DISTILLATION, COLLABORATION)
