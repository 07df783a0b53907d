"""DIDA: agreement on instances beside agreement on classes."""

from segue.recipes.daformer import daformer
from segue.trees import Tree, merge


def dida() -> Tree:
    """DAFormer with an instance bank: 71.0 mIoU on GTA5 to Cityscapes, 63.3 (16 classes) on SYNTHIA to Cityscapes.

    Command: ``segue train dida --pair gta5_to_cityscapes``. The released code lacks what its tables vary (a
    temperature); this is the reading under which they make sense, without correcting the pseudo-label.
    """
    return merge(
        daformer(),
        {
            "terms": {
                "instance_bank": {
                    "size": 250,  # K
                    "temperature": 0.1,  # tau
                    "share": 1.0,  # lambda
                    "beta": 1.0,  # gathering off, as released
                    "update": "ema",
                    "interval": 50,
                    "momentum": 0.999,  # mu
                }
            }
        },
    )


def dida_paper() -> Tree:
    """The same with instances correcting the pseudo-label, as the abstract has it."""
    return merge(dida(), {"terms": {"instance_bank": {"beta": 0.9}}})


def dida_official_code() -> Tree:
    """What the released code computes: raw products over their sum, weighed by the student's own logits."""
    return merge(
        dida(),
        {
            "terms": {
                "instance_bank": {
                    "size": 300,
                    "share": 0.5,
                    "similarity": "linear",
                    "scatter": "student_logits",
                    "region": "all",
                }
            }
        },
    )
