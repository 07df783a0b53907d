"""HRDA (Hoyer et al., ECCV 2022): high resolution where it helps, context where it is needed."""

from segue.recipes.daformer import daformer
from segue.trees import Tree, merge


def hrda() -> Tree:
    """DAFormer on context and detail crops of pictures twice as large, fused by a learnt attention.

    Command: ``segue train hrda --pair street_scenes``. The paper trains MiT-B5 for 40 000 steps of 2 + 2 crops of
    1024 x 1024 pixels, of which the context is seen at half and the detail at full resolution (512 x 512 both),
    and reports 73.8 mIoU on GTA5 to Cityscapes.
    """
    return merge(
        daformer(),
        {
            "network": {
                "multi_resolution": {
                    "detail": 0.5,  # h_d: 512 of 1024 pixels
                    "context_scale": 0.5,  # s = 2: the context is shrunk to the detail's size
                    "detail_share": 0.1,  # lambda_d
                    "overlap": 0.5,  # stride of detail windows: half of their size
                    "attention": "class",  # one attention map a class
                }
            },
            # Windows of the crop's size with half of it overlapping, plainly averaged.
            "evaluation": {"mode": "sliding", "overlap": 0.5, "blend": "mean"},
        },
    )
