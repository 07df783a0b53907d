"""The pairs of the street-scene papers: their sizes, crops and margins, on the nineteen classes of Cityscapes."""

from segue.classes import CITYSCAPES_19, SYNTHIA_13, SYNTHIA_16
from segue.data.published_layouts import LAYOUTS
from segue.trees import Tree, merge

CAR_BONNET: Tree = {"top": 15 / 512, "bottom": 120 / 512}
"""Where the teacher is distrusted in a crop of Cityscapes at half its size: the first 15 rows, warped by
rectification, and the last 120, the car's own bonnet (of 512; DAFormer's code)."""

WHOLE_PICTURE: Tree = {"top": 30 / 1024, "bottom": 240 / 1024, "left": 30 / 2048, "right": 30 / 2048}
"""The same margins on the whole picture, for crops of a larger one; HRDA's code also leaves out the sides."""

GTA5: Tree = {"dataset": "gta5", "root": "gta5", "resize": [720, 1280]}
SYNTHIA: Tree = {"dataset": "synthia", "root": "synthia", "resize": [760, 1280]}
CITYSCAPES: Tree = {"dataset": "cityscapes", "root": "cityscapes", "resize": [512, 1024]}  # half its size
ACDC: Tree = {"dataset": "acdc", "root": "acdc", "resize": [540, 960]}  # half its size
DARK_ZURICH: Tree = {"dataset": "dark_zurich", "root": "dark_zurich", "resize": [540, 960]}  # half its size

ALIGNED: Tree = {
    "steps": 120000,
    "network": {
        "encoder": "resnet101_caffe", "head": "deeplab_v2", "context": "four", "auxiliary": 0.1,
        "aligned_corners": True,
    },
    "data": {"crop": [512, 1024], "batch": 1},
    "optim": {
        "name": "sgd", "lr": 2.5e-4, "head_factor": 10.0, "weight_decay": 5e-4, "momentum": 0.9,
        "warmup": 0.0, "power": 0.9,
    },
    "when": {
        "terms.adversarial.map=probabilities": {"network": {"context": "two"}},
        "terms.patch_alignment": {"network": {"context": "two", "auxiliary": None}},
        "terms.point_perturbation": {"network": {"context": "two", "auxiliary": None}},
        "terms.memory": {
            "steps": 25000,
            "network": {"head": "deeplab_v2_se", "context": None, "auxiliary": 0.5, "channels": 512},
            "data": {"batch": 2},
            "optim": {"lr": 2e-4, "nesterov": True, "warmup": 5000 / 25000},
        },
        "method.name=pivot": {"network": {"auxiliary": None}},
        "method.name=rectified": {
            "method": {"last": {"crop": [256, 512], "resize": [640, 1280], "batch": 9}}
        },
        "terms.class_adversarial": {"steps": 40000, "network": {"auxiliary": None}, "data": {"batch": 8}},
    },
}  # fmt: skip
"""What AdaptSegNet and ADVENT train: DeepLabV2 with an auxiliary prediction, by SGD; ADVENT's has four branches. The
others have one prediction, and FADA sees eight pictures at once."""

SPECTRAL: Tree = merge(ALIGNED, {"steps": 100000, "network": {"auxiliary": None}})
"""What FDA trains: ADVENT's network with a single prediction."""

SEVERAL_VIEWS: Tree = merge(
    ALIGNED, {"steps": 40000, "network": {"auxiliary": None}, "data": {"batch": 2}, "optim": {"power": 0.0}}
)
"""What SAC trains: the same network, at a constant rate. It sees eight source crops a step, two target crops four times
each; here there are as many crops of either domain. The number of steps is ours."""

PROTOTYPES: Tree = merge(
    ALIGNED,
    {
        "steps": 80000,
        "network": {"auxiliary": None},
        "data": {"crop": [512, 896], "batch": 2},
        "optim": {"weight_decay": 2e-4},
    },
)
"""ProDA's crops and optimiser; its head has a map of 256 channels, the steps and the batch are ours."""

DUAL_PATH: Tree = merge(
    ALIGNED,
    {
        "network": {"auxiliary": None},
        "data": {"batch": 4},
        "optim": {"lr": 5e-4},
        "method": {"translator": {"crop": [256, 512]}},
        "when": {"terms.adversarial.map=probabilities": {"network": {"context": "four"}}},
    },
)
"""DPL's batch, rate and the translator's crops."""

ENOUGH = 3000
"""Rare class sampling draws a picture for a class if it has more pixels of it than this, at the source's own size."""


GUIDED: Tree = {
    "steps": 250000,
    "network": {
        "encoder": "resnet101_caffe", "head": "deeplab_tasks", "context": "pyramid", "aligned_corners": True,
    },
    "optim": ALIGNED["optim"],
}  # fmt: skip
"""What CorDA trains: DACS's network and optimiser, with heads for depth."""


def _depth(dataset: str) -> Tree | None:
    """Where the depths of a data set's training pictures lie."""
    known = LAYOUTS[dataset].depths
    return known and {"folder": known[0].format(split="train"), "encoding": known[1]}


def _pair(name: str, source: Tree, target: Tree, *, source_size: tuple[int, int], enlarged: Tree) -> Tree:
    """A pair with the values that all of the papers' pairs share.

    Args:
        source: All of it is trained on.
        target: Its ``train`` is trained on, its ``val`` scored.
        source_size: The source's own rows and columns.
        enlarged: The source's ``resize`` for networks that look at two resolutions.
    """
    rows, columns = source_size
    return {
        "steps": 40000,
        "network": {"encoder": "mit_b5", "head": "daformer"},
        "data": {
            "pair": name,
            "root": "data",  # holds a folder of each data set
            "classes": list(CITYSCAPES_19.names),
            "colours": [list(colour) for colour in CITYSCAPES_19.colours],
            "source": source,
            "target": {**target, "split": "train"},
            "evaluation": {**target, "split": "val"},
            "crop": [512, 512],
            "batch": 2,
        },
        "when": {
            "data.rare_classes": {"data": {"rare_classes": {"min_share": ENOUGH / (rows * columns)}}},
            "method.name=aligned": ALIGNED,
            "method.name=intra_domain": ALIGNED,
            "method.name=average": ALIGNED,
            "method.name=rectified": ALIGNED,
            "method.name=label_shift": ALIGNED,
            "method.name=pivot": ALIGNED,
            "method.name=spectral": SPECTRAL,
            "method.name=several_views": SEVERAL_VIEWS,
            "method.name=prototypes": PROTOTYPES,
            "method.depth": {
                **GUIDED,
                "data": {
                    "source": {"depth": _depth(source["dataset"])},
                    "target": {"depth": _depth(target["dataset"])},
                },
            },
            "method.name=dual_path": DUAL_PATH,
            "size=distilled": {"network": {"encoder": "mit_b3"}},  # from a teacher with mit_b5
            "network.multi_resolution": {
                "data": {
                    "crop": [1024, 1024],
                    "source": enlarged,
                    "target": {"resize": None},  # its own size
                    "evaluation": {"resize": None},
                },
                "when": {  # a class covers four times the pixels
                    "data.rare_classes": {"data": {"rare_classes": {"min_crop_ratio": 2.0}}}
                },
            },
        },
    }


def _to_cityscapes(pair: Tree) -> Tree:
    """Add margins, which only pictures from the Cityscapes car need."""
    return merge(
        pair,
        {
            "when": {
                "method.name=self_training": {
                    "method": {"margins": CAR_BONNET},
                    "when": {"network.multi_resolution": {"method": {"margins": None}}},
                },
                "network.multi_resolution": {"data": {"target": {"margins": WHOLE_PICTURE}}},
            }
        },
    )


def _without_unknown(pair: Tree) -> Tree:
    """Leave terrain, truck and train, which SYNTHIA lacks, out of the mean; an older mean is over thirteen classes."""
    thirteen = {f"{len(SYNTHIA_13)} classes": list(SYNTHIA_13.names)}
    return merge(
        pair,
        {
            "evaluation": {"classes": list(SYNTHIA_16.names), "also": thirteen},
            # There CorDA's first prediction of the classes is made of the task's own features.
            "when": {"method.depth": {"network": {"context": "pointwise"}}},
        },
    )


def _from_cityscapes(pair: Tree) -> Tree:
    """Mask both domains, as MIC does where the source is photographs, too (its code's mode "separate")."""
    return merge(
        pair, {"when": {"method.mask": {"method": {"mask": {"pictures": "both", "augment": False}}}}}
    )


CITYSCAPES_PAIRS: dict[str, Tree] = {
    "gta5_to_cityscapes": _to_cityscapes(
        _pair(
            "gta5_to_cityscapes", GTA5, CITYSCAPES,
            source_size=(1052, 1914), enlarged={"resize": [1440, 2560]},
        )
    ),
    "synthia_to_cityscapes": _to_cityscapes(
        _without_unknown(
            _pair(
                "synthia_to_cityscapes", SYNTHIA, CITYSCAPES,
                source_size=(760, 1280), enlarged={"resize": [1520, 2560]},
            )
        )
    ),
    "cityscapes_to_acdc": _from_cityscapes(
        _pair(
            "cityscapes_to_acdc", {**CITYSCAPES, "split": "train"}, ACDC,
            source_size=(1024, 2048), enlarged={"resize": None},
        )
    ),
    "cityscapes_to_dark_zurich": _from_cityscapes(
        _pair(
            "cityscapes_to_dark_zurich", {**CITYSCAPES, "split": "train"}, DARK_ZURICH,
            source_size=(1024, 2048), enlarged={"resize": None},
        )
    ),
}  # fmt: skip
"""Pairs by name."""
