"""DACS, DAFormer, HRDA and MIC: each paper's recipe builds on the one before."""

from segue.trees import Tree, merge

MIXING: Tree = {
    "method": {
        "name": "self_training",
        "teacher": {"name": "average"},
        "threshold": 0.968,  # tau
        "mix": "class_mix",
    }
}
"""What DACS shares with everything that builds on it."""

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


def dacs() -> Tree:
    """DACS (Tranheden et al., WACV 2021): self-training on pictures mixed across domains.

    Network and optimiser are those of the DAFormer family; the paper's own are DeepLabV2 and SGD, to which its
    published score belongs. Where its code differs from DAFormer's, it is followed. Command:
    ``segue train dacs --pair street_scenes``.
    """
    return merge(
        MIXING,
        {
            "method": {
                "teacher": {"momentum": 0.99, "copies_first": True},  # alpha
                "source_mean": "labelled",
                "class_pool": "image",  # each picture offers its own classes
                "augment": {"strength": 0.25},
                "margins": None,  # the teacher is trusted everywhere
            },
            "data": {"flip": 0.0, "max_share": 1.0},  # crops are taken as they come
        },
    )


def daformer() -> Tree:
    """DAFormer (Hoyer et al., CVPR 2022): DACS with rare class sampling, feature distance and warm-up.

    Command: ``segue train daformer --pair street_scenes``. The paper trains MiT-B5 for 40 000 steps of 2 + 2 crops
    of 512 x 512 pixels, and reports 68.3 mIoU on GTA5 to Cityscapes.
    """
    return merge(
        MIXING,
        {
            "method": {
                "teacher": {"momentum": 0.999},  # alpha
                "class_pool": "batch",  # as in its code
                "augment": {"strength": 0.2},
            },
            "data": {"rare_classes": {"temperature": 0.01}},  # T
            "terms": {"feature_distance": {"share": 0.005, "min_share": 0.75}},  # lambda, r
        },
    )


def hrda() -> Tree:
    """HRDA (Hoyer et al., ECCV 2022): DAFormer on context and detail crops of pictures twice as large.

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
                    "attention": "class",  # one attention map per class
                }
            },
            # Windows of the crop's size that overlap by half, averaged without weights.
            "evaluation": {"mode": "sliding", "overlap": 0.5, "blend": "mean"},
        },
    )


def mic() -> Tree:
    """MIC (Hoyer et al., CVPR 2023): HRDA with a third view, the target with most of it hidden.

    Command: ``segue train mic --pair street_scenes``. The paper reports 75.9 mIoU on GTA5 to Cityscapes with
    crops of 1024 x 1024 pixels.
    """
    return merge(hrda(), MASK)


def daformer_mic() -> Tree:
    """MIC on DAFormer, with crops of 512 x 512 pixels: 70.6 mIoU on GTA5 to Cityscapes.

    Command: ``segue train daformer_mic --pair street_scenes``.
    """
    return merge(daformer(), MASK)
