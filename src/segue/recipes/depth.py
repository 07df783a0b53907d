"""Recipes that learn how far things are."""

from segue.recipes.daformer_family import dacs
from segue.trees import Tree, merge


def corda() -> Tree:
    """CorDA (Wang et al., ICCV 2021): DACS beside which depth is learnt; 56.6 mIoU on GTA5 to Cityscapes.

    Command: ``segue train corda --pair street_scenes``, whose scenes know their depth. Of other pictures either domain
    needs a folder of 16-bit depth files: ``--set data.source.depth.folder=DIR``, and the same for the target.
    ``segue depth`` makes one from left and right pictures. The paper's network is DeepLabV2 on ResNet-101
    (``deeplab_tasks``), which the Cityscapes pairs set; other encoders go with ``segformer_tasks``.
    """
    return merge(
        dacs(),
        {
            "network": {"head": "segformer_tasks"},
            "method": {
                "teacher": {"momentum": 0.999},  # alpha
                "depth": {"source_share": 0.01, "target_share": 0.001, "first_until": 0.1, "weigh": True},
            },
        },
    )
