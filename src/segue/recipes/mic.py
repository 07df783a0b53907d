"""MIC (Hoyer et al., CVPR 2023): consistency of what is seen whole and what is seen in parts."""

from segue.recipes.daformer import daformer
from segue.recipes.hrda import hrda
from segue.trees import Tree, merge

MASK: Tree = {
    "method": {
        "mask": {
            "block": 1 / 16,  # b: 64 of 1024 pixels, 32 of 512
            "ratio": 0.7,  # r
            "pictures": "target",
            "augment": True,  # the masked target is jittered and blurred, too
        }
    }
}


def mic() -> Tree:
    """HRDA with a third view: the target with most of it hidden.

    Command: ``segue train mic --pair street_scenes``. The paper reports 75.9 mIoU on GTA5 to Cityscapes with
    crops of 1024 x 1024 pixels.
    """
    return merge(hrda(), MASK)


def daformer_mic() -> Tree:
    """The same on DAFormer, with crops of 512 x 512 pixels: 70.6 mIoU on GTA5 to Cityscapes.

    Command: ``segue train daformer_mic --pair street_scenes``.
    """
    return merge(daformer(), MASK)
