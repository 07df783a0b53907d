"""PIT: which classes a picture shows as a whole is the pivot between domains."""

from segue.recipes.alignment import ADAM
from segue.trees import Tree


def pit() -> Tree:
    """PIT (Lv et al., CVPR 2020): what a picture shows as a whole says which regions are labelled; 50.6 mIoU.

    Command: ``segue train pit --pair street_scenes``. The number is on GTA5 to Cityscapes. No code was published: what
    is done follows an outline, all constants are ours, and pictures are not translated. The first stage and each of
    two rounds take ``--steps``.
    """
    return {
        "method": {
            "name": "pivot",
            "repeats": 2,
            "regions": {"score": 0.5, "area": 0.005, "seeds": 0.05, "reach": 0.5},
        },
        "data": {"flip": 0.5, "max_share": 1.0},
        "terms": {
            "presence": {
                "share": 0.1,
                "adversarial_share": 0.001,
                "pooled": 0.01,
                "hidden": 64,
                "discriminator": ADAM,
            }
        },
    }
