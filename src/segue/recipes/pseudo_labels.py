"""Recipes whose labels come from bands of frequencies, views, prototypes or two paths, or are guided by depth."""

from segue.recipes.alignment import ADAM
from segue.recipes.daformer_family import dacs
from segue.trees import Tree, merge


def fda() -> Tree:
    """FDA with three bands of frequencies and two rounds of self-training (Yang and Soatto, CVPR 2020): 50.45 mIoU.

    Command: ``segue train fda --pair street_scenes``. The number is on GTA5 to Cityscapes; tables have it as "IDA-MIT",
    a misreading of FDA-MBT. Nine trainings take ``--steps`` each: three bands, first without labels of the target and
    then twice with those of the three models' average, which is the result. The window is that of FDA's numpy function;
    what its training computes is ``--set method.window=corners``.
    """
    return {
        "data": {"flip": 0.0, "max_share": 1.0},
        "method": {
            "name": "spectral",
            "bands": [0.01, 0.05, 0.09],
            "window": "centred",
            "label_rounds": 2,
            "left_out": 0.66,
            "ceiling": 0.9,
            "every": 4,
            "source_mean": "labelled",
        },
        "terms": {"entropy": {"share": 0.005, "auxiliary_share": 0.0, "resolution": "head", "eta": 2.0}},
    }


def fda_single() -> Tree:
    """FDA with one band of frequencies and no self-training: about 45 mIoU on GTA5 to Cityscapes, as we recall it.

    Command: ``segue train fda_single --pair street_scenes``. Another band is ``--set method.bands=[0.05]``.
    """
    tree = fda()
    tree["method"] |= {"bands": [0.01], "label_rounds": 0}
    return tree


def sac() -> Tree:
    """SAC (Araslanov and Roth, CVPR 2021): several views of a crop labelled together; 53.8 mIoU on GTA5 to Cityscapes.

    Command: ``segue train sac --pair street_scenes``. Without ``network.start`` a first stage trains the paper's
    baseline on the source, with batch statistics of both domains; each of the two stages takes ``--steps``. A run of
    ``source_only`` saves the first: ``--set network.start=RUN``. Every target crop is seen ``method.views`` times, so
    that a step costs more than it does with other recipes.
    """
    return {
        "data": {"scale": [0.5, 1.0], "max_share": 1.0},
        "method": {
            "name": "several_views",
            "teacher": {"name": "slow", "momentum": 0.99, "every": 100},
            "views": 4,
            "zoom": [0.5, 1.0],
            "flip": 0.5,
            "augment": {
                "strength": 0.4,
                "hue": 0.1,
                "jitter_probability": 0.5,
                "blur_probability": 0.5,
                "sigma": [0.1, 2.0],
                "grey_probability": 0.2,
            },
            "share": 5.0,
            "scale": 1e-3,  # beta
            "prior_momentum": 0.99,
            "lowest": 0.2,
            "highest": 0.75,
            "focus": 3.0,
            "confidence": "view",
            "source_mean": "labelled",
        },
    }


def sac_official_code() -> Tree:
    """What SAC's released code computes: every view is weighed by the mean confidence of all, for comparison.

    Command: ``segue train sac_official_code --pair street_scenes``.
    """
    tree = sac()
    tree["method"]["confidence"] = "batch"
    return tree


def proda() -> Tree:
    """ProDA (Zhang et al., CVPR 2021): prototypes correct labels, students distil them; 57.5 mIoU.

    Command: ``segue train proda --pair street_scenes``. The number is on GTA5 to Cityscapes. Each of four stages takes
    ``--steps``: an adversarial warm-up, labels corrected by prototypes (53.7 in the paper), and two distillations. A
    finished model saves the warm-up: ``--set network.start=RUN``. The distilled students begin as ``network.weights``
    says, with those of SimCLRv2 in the paper. Strong changes, the stages' rates and the network's head are ours.
    """
    return {
        "data": {"max_share": 1.0},
        "method": {
            "name": "prototypes",
            "teacher": {"name": "average", "momentum": 0.999, "statistics": "average"},
            "temperature": 1.0,  # tau
            "renewal": 1e-4,  # 1 - lambda
            "least": 10,
            "threshold": 0.0,
            "symmetric": {"share": 0.1, "reverse_share": 1.0},  # alpha, beta
            "consistency": 10.0,
            "frozen_statistics": True,
            "source_mean": "labelled",
            "rate": 0.4,
            "distillations": 2,
            "distillation": {"share": 1.0, "symmetric": {"share": 1.0, "reverse_share": 0.0}},
            "sure": 0.95,
            "restarts": True,
        },
        "terms": {
            "confidence": {"share": 0.1, "kind": "divergence"},
            "adversarial": {
                "share": 0.01,
                "auxiliary_share": 0.0,
                "map": "probabilities",
                "loss": "least_squares",
                "resolution": "picture",
                "discriminator": ADAM,
            },
        },
    }


def corda() -> Tree:
    """CorDA (Wang et al., ICCV 2021): DACS beside which depth is learnt; 56.6 mIoU on GTA5 to Cityscapes.

    Command: ``segue train corda --pair street_scenes``, whose scenes know their depth. Of other pictures each domain
    names a folder of 16-bit PNG files with its pictures' names, of the same size or shape:
    ``--set data.source.depth.folder=DIR``, and ``data.target.depth.folder``, each relative to its domain's root.

    ``depth.encoding`` says what values are: "stereo" (the default) and "synthia" centimetres, as ``segue depth`` writes
    and SYNTHIA comes; "mono" a disparity in 1/256, as networks guess it from one picture; "metric" metres and
    "disparity" anything that grows as things come nearer, once multiplied by ``depth.scale``. ``depth.missing`` (0) is
    the value of unknown pixels, ``depth.suffix`` what follows a picture's name. The pairs to Cityscapes expect
    ``gta5/depth`` (mono), ``synthia/Depth/Depth`` and ``cityscapes/depth/train`` (stereo), which one of these writes:

    ``segue depth leftImg8bit/train rightImg8bit/train --camera camera/train --out depth/train`` from stereo pictures
    (with OpenCV), ``segue depth disparity/train --camera camera/train --out depth/train`` from Cityscapes' disparities.

    The paper's network is DeepLabV2 on ResNet-101 (head ``deeplab_tasks``), which those pairs set; other encoders go
    with ``segformer_tasks``.
    """
    return merge(
        dacs(),
        {
            "network": {"head": "segformer_tasks"},
            "method": {
                "teacher": {"momentum": 0.999},  # alpha
                "depth": {
                    "source_share": 0.01,
                    "target_share": 0.001,
                    "first_until": 0.100004,
                    "weigh": True,
                },
            },
        },
    )


def dpl_dual() -> Tree:
    """DPL-Dual (Cheng et al., ICCV 2021): a network in each domain's look, which label the target together; 53.3 mIoU.

    Command: ``segue train dpl_dual --pair street_scenes``. The number is on GTA5 to Cityscapes with ResNet-101; the
    43.0 of tables on SYNTHIA is a VGG-16 row, with ResNet-101 it is 47.0 as we recall it. Fourteen trainings take
    ``--steps`` each: the source's network (``--set network.start=RUN`` saves it), a translator, the target's network
    with two corrections of the source's labels, a translator that both networks judge, and four rounds of both. What a
    part of the paper's run takes is in its code; lengths are ours (120 000 steps for each; its translators take 40
    passes over the pictures). At the end the target's network counts 0.55, the source's on the translated picture 0.45.
    """
    return {
        "data": {"flip": 0.5, "max_share": 1.0},
        "method": {
            "name": "dual_path",
            "translator": {
                "kind": "cycle",
                "share": 1.0,
                "lr": 2e-4,
                "generators": {
                    "channels": 64,
                    "blocks": 9,
                    "pool": 50,
                    "cycle": 10.0,
                    "identity": 0.5,
                    "semantic": 1.0,
                    "crossed": 0.1,
                    "lr": 2e-4,
                    "betas": [0.5, 0.999],
                },
            },
            "correction": {"count": 2, "delta": 0.3, "left_out": 0.65, "ceiling": 0.9},
            "repeats": 4,
            "alpha": 0.5,
            "left_out": [0.3, 0.25],
            "ceiling": 0.9,
            "mixture": 0.55,
            "source_mean": "labelled",
        },
        "terms": {
            "adversarial": {
                "share": 0.001,
                "auxiliary_share": 0.0,
                "map": "probabilities",
                "loss": "vanilla",
                "resolution": "picture",
                "discriminator": {**ADAM, "lr": 2e-4},
            },
        },
    }


def dpl() -> Tree:
    """DPL (Cheng et al., ICCV 2021): DPL-Dual's training, of which the target's network alone is kept; 52.8 mIoU.

    Command: ``segue train dpl --pair street_scenes``. The number is on GTA5 to Cityscapes, as we recall it. Pictures
    are not translated any more when it predicts.
    """
    return merge(dpl_dual(), {"method": {"mixture": None}})


def dpl_fda() -> Tree:
    """Not DPL: its two paths and rounds, with the mean amplitude of low frequencies in the place of its translator.

    Command: ``segue train dpl_fda --pair street_scenes``. Nothing is learnt to translate, so that no published number
    is this one's. Pictures get the mean amplitude of the other domain's (FDA, Yang and Soatto, CVPR 2020, takes that of
    a single picture), and both paths predict together.
    """
    own: Tree = {"kind": "amplitude", "beta": 0.01}
    tree = dpl_dual()
    tree["method"]["translator"] = own
    return tree
