"""Recipes for pictures that have one class each: CDAN, MCC, SDAT, and MIC and CLDA on them."""

from segue.recipes.clda import COLLABORATION
from segue.trees import Tree, merge

PASS: Tree = {
    "network": {"head": "bottleneck", "channels": 256, "drop_path": 0.0},
    "method": {"name": "aligned", "together": True, "source_mean": "labelled"},
}
"""Both domains in one batch and one pass; encoder, narrow layer, classifier."""


def sgd(rate: float) -> Tree:
    """SGD whose rate, a tenth of it for the encoder, does not depend on the length of the run."""
    return {
        "name": "sgd",
        "lr": rate / 10,
        "head_factor": 10.0,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 1e-3,
        "warmup": 0.0,
        "fading": 1e-3,
        "power": 0.75,
    }


def adversary(rate: float) -> Tree:
    """CDAN's term, whose discriminator learns at the rate of the classifier."""
    learns = {"channels": 1024, "lr": rate, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}
    fades = {"fading": 1e-3, "power": 0.75}
    return {
        "conditional_adversarial": {
            "share": 1.0,
            "warmup": 1000.0,
            "entropy": False,
            "discriminator": learns | fades,
        }
    }


CONFUSION: Tree = {"class_confusion": {"share": 1.0, "temperature": 2.0}}
"""MCC's term as SDAT has it."""

SHARPNESS: Tree = {"sharpness": {"radius": 0.02, "adaptive": False}}


def cdan() -> Tree:
    """CDAN (Long et al., NeurIPS 2018): features times class probabilities are alike to a discriminator.

    Command: ``segue train cdan --pair street_objects``. CDAN+E, in which sure predictions count more, is ``--set
    terms.conditional_adversarial.entropy=true``.
    """
    return merge(PASS, {"terms": adversary(0.01), "optim": sgd(0.01)})


def mcc() -> Tree:
    """MCC (Jin et al., ECCV 2020): predictions on a batch of the target do not confuse classes.

    Command: ``segue train mcc --pair street_objects``.
    """
    return merge(PASS, {"terms": CONFUSION, "optim": sgd(0.002)})


def sdat() -> Tree:
    """SDAT (Rangwani et al., ICML 2022): CDAN and MCC, at a flat minimum of all but the adversarial loss.

    Command: ``segue train sdat --pair street_objects``. A step has two passes. The official code's best step is chosen
    on target labels; here it is the last one, and ``evidence.best`` keeps another by a measure without labels.
    """
    return merge(PASS, {"terms": adversary(0.002) | CONFUSION, "optim": sgd(0.002) | SHARPNESS})


def mic_cls() -> Tree:
    """MIC for classification (Hoyer et al., CVPR 2023): SDAT, and a masked target named as its teacher names it.

    Command: ``segue train mic_cls --pair street_objects``.
    """
    masked = {
        **PASS["method"],
        "name": "masked_alignment",
        "teacher": {"name": "average", "momentum": 0.9},
        "augment": {"strength": 0.2, "jitter_probability": 0.8, "blur_probability": 0.5},
        "mask": {"block": 64, "ratio": 0.7},
    }
    return merge(sdat(), {"method": masked})


def clda_cls() -> Tree:
    """CLDA for classification (Cho et al.): a large trained teacher labels the target and learns from the student.

    Command: ``segue train clda_cls --pair street_objects --set method.teacher.model=RUN`` with a run of ``sdat`` and
    its larger network. The student learns the source, the teacher's labels as far as it is confident, MCC and
    sharpness as in SDAT; without the adversary, as in the paper's equation 9. Its numbers are in a supplement that was
    never published.
    """
    collaborative = {
        "name": "self_training",
        "source_mean": "labelled",
        "threshold": 0.968,
        "mix": None,
        "augment": None,
        "teacher": COLLABORATION["method"]["teacher"] | {"threshold": 0.3},
    }
    return {
        "size": "distilled",
        "network": PASS["network"],
        "method": collaborative,
        "terms": CONFUSION,
        "optim": sgd(0.002) | SHARPNESS,
    }
