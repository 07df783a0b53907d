"""SSR: SAM as a strong regulariser, at training time alone."""

from segue.recipes.daformer import daformer
from segue.recipes.dida import dida
from segue.recipes.mic import daformer_mic
from segue.trees import Tree, merge

SAM: Tree = {
    "terms": {
        "frozen_regularizer": {
            "encoder": "sam_vit_b",
            "stages": [1, 2, 3, 4],  # S0 to S3
            "share": 1.0,  # plain and regularised decoding alike
            "bn_update": "both",  # as its code has it
        }
    }
}


def ssr() -> Tree:
    """DAFormer whose features are also decoded after looking at SAM's: 69.3 mIoU on GTA5 to Cityscapes.

    Command: ``segue train ssr --pair gta5_to_cityscapes --set terms.frozen_regularizer.weights=sam_vit_b.pth``.
    Any other transformer may be looked at: ``--set terms.frozen_regularizer.encoder=vit_tiny`` with its file.
    """
    return merge(daformer(), SAM)


def ssr_mic() -> Tree:
    """The same on DAFormer with masked image consistency: 70.6 mIoU on GTA5 to Cityscapes.

    The masked view is decoded once, as in the paper's code.
    """
    return merge(daformer_mic(), SAM)


def dida_ssr() -> Tree:
    """Both regularisers at once: DIDA's instance bank and SSR's second decoding."""
    return merge(dida(), SAM)
