"""Recipes that train on labels made beforehand: CBST and CRST in rounds, ensemble distillation."""

from segue.engine.tree import Tree, merge


def cbst() -> Tree:
    """Class-balanced self-training: three rounds of labelling and training; 45.9 mIoU on GTA5 to Cityscapes.

    Command: ``segue train cbst --pair street_scenes --set network.start=runs/source_only``. The steps are those of
    one round. The papers' network is DeepLabV2, trained by SGD; here it is the pair's, by AdamW.
    """
    return {
        "method": {
            "name": "offline",
            "source": True,
            "rounds": {
                "count": 3,  # R
                "portion": 0.2,  # p_0
                "step": 0.05,  # more of every class in each round
                "most": 0.5,
                "every": 4,
            },
        }
    }


def crst() -> Tree:
    """CBST whose pseudo-labels are not learnt to certainty (MRKLD): 47.1 mIoU on GTA5 to Cityscapes.

    Command: ``segue train crst --pair street_scenes --set network.start=runs/source_only``.
    """
    return merge(cbst(), {"terms": {"confidence": {"share": 0.1}}})  # lambda


def ensemble() -> Tree:
    """Ensemble distillation: members' labels fused class by class, one student; 57.98 mIoU on GTA5 to Cityscapes.

    Command: ``segue train ensemble --pair street_scenes --set method.ensemble.members='{a: runs/a, b: runs/b}'
    --set network.start=runs/source_only``. Whom to believe for a class is decided by how certain a student of each
    member is; no target label is read. Weights and percentile are the last student's: the members' own ones have
    theirs in ``method.ensemble.students``, without any by default.

    Note:
        The official code drops labels below a certainty of 90 % unless told otherwise, its follow-up below 70 %;
        here ``method.ensemble.threshold=0.9`` does, because it needs members with probabilities and brings back the
        scales that unification takes out.
    """
    return {
        "method": {
            "name": "offline",
            "source": False,
            "weights": {"weight": 7.0, "small": 1 / 32},
            "percentile": 80.0,  # the hardest fifth is learnt
            "ensemble": {"kind": "channel", "policy": "certainty", "window": 5},  # kappa
        }
    }


def end() -> Tree:
    """EnD: the student of the mean of several models' probabilities; 51.34 mIoU on GTA5 to Cityscapes.

    Command: ``segue train end --pair street_scenes --set method.members='{a: runs/a, b: runs/b}'``.
    """
    return {"method": {"name": "ensemble_distillation", "kind": "mean"}}


def end2() -> Tree:
    """EnD²: the student of the distribution of several models' probabilities; 51.96 mIoU on GTA5 to Cityscapes."""
    return {"method": {"name": "ensemble_distillation", "kind": "distribution", "temperature": 2.5}}
