"""Recipes that train on labels made beforehand: CBST and CRST in rounds, ensemble distillation."""

from segue.trees import Tree, merge


def cbst() -> Tree:
    """Class-balanced self-training: three rounds of labelling and fine-tuning; 45.9 mIoU on GTA5 to Cityscapes.

    Command: ``segue train cbst --pair street_scenes --set network.start=runs/source_only``. The values are those of
    CRST's code, which gave the number. It fine-tunes at 5e-5 a network that had learnt the source at 2.5e-4. Here the
    rate is the same fifth of the pair's own, so that AdamW and any network keep the proportion. A round learns each
    picture of the target and of its part of the source twice, unless ``--steps`` is given.
    """
    return {
        "data": {"scale": [0.5, 1.5], "max_share": 1.0},
        "method": {
            "name": "offline",
            "frozen_statistics": True,
            "rounds": {
                "count": 3,  # R
                "portion": 0.2,  # p_0
                "step": 0.05,  # added for every class in each round
                "most": 0.5,
                "every": 4,
                "flip": True,
                "scales": [0.9],
                "source_portion": 0.03,
                "source_step": 0.0025,
                "source_most": 0.06,
                "epochs": 2,
                "rate": 0.2,
                "rare": 1e-3,
                "mine": 0.8,
            },
        },
    }


def cbst_sp() -> Tree:
    """CBST that expects classes where the source has them.

    Command: ``segue train cbst_sp --pair street_scenes --set network.start=runs/source_only``. The paper smooths
    with 70 x 70 pixels of GTA5.
    """
    return merge(cbst(), {"method": {"rounds": {"prior": 70 / 1052}}})


def crst() -> Tree:
    """CBST whose pseudo-labels are not learnt to certainty (MRKLD): 47.1 mIoU on GTA5 to Cityscapes.

    Command: ``segue train crst --pair street_scenes --set network.start=runs/source_only``. MRENT and MRL2 are
    ``--set terms.confidence.kind=entropy`` and ``squares``.
    """
    return merge(cbst(), {"terms": {"confidence": {"share": 0.1, "kind": "divergence"}}})  # lambda


def crst_lrent() -> Tree:
    """CBST whose pseudo-labels are soft (LRENT): 46.5 mIoU on GTA5 to Cityscapes, as much as CBST's own run.

    Command: ``segue train crst_lrent --pair street_scenes --set network.start=runs/source_only``.
    """
    return merge(cbst(), {"method": {"rounds": {"alpha": 0.25}}})


def ensemble() -> Tree:
    """Ensemble distillation: members' labels fused class by class, one student; 57.98 mIoU on GTA5 to Cityscapes.

    Command: ``segue train ensemble --pair street_scenes --set method.ensemble.members='{a: runs/a, b: runs/b}'
    --set network.start=runs/source_only``. The member believed for a class is the one whose student is most certain of
    it; no target label is read. Weights and percentile are the last student's: those of the members' own students are
    in ``method.ensemble.students``, none by default. The paper's own student is ``--set network.encoder=drn_d_54 --set
    network.head=deeplab_v3plus --set network.aligned_corners=true``.

    Note:
        The official code drops labels below a certainty of 90 % by default, its follow-up below 70 %. Here
        ``method.ensemble.threshold=0.9`` does so; it is not the default because it needs members with probabilities
        and brings back the scales that unification takes out.
    """
    return {
        "method": {
            "name": "offline",
            "weights": {"weight": 7.0, "small": 1 / 32},
            "percentile": 80.0,  # only the hardest fifth is learnt
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
