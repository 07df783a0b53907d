"""DAFormer (Hoyer et al., CVPR 2022): DACS with three devices that keep a transformer from overfitting."""

from segue.recipes.dacs import MIXING
from segue.trees import Tree, merge


def daformer() -> Tree:
    """Rare class sampling, feature distance and learning-rate warm-up on top of DACS.

    Command: ``segue train daformer --pair street_scenes``. The paper trains MiT-B5 for 40 000 steps of 2 + 2 crops
    of 512 x 512 pixels, and reports 68.3 mIoU on GTA5 to Cityscapes.
    """
    return merge(
        MIXING,
        {
            "method": {
                "teacher": {"momentum": 0.999},  # alpha
                "class_pool": "batch",  # as its code has it
                "augment": {"strength": 0.2},
            },
            "data": {"rare_classes": {"temperature": 0.01}},  # T
            "terms": {"feature_distance": {"share": 0.005, "min_share": 0.75}},  # lambda, r
        },
    )
