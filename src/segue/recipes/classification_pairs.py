"""Pairs whose pictures have one class each: Office-Home's twelve, VisDA-2017, and objects of the street scenes."""

from itertools import permutations

from segue.recipes.classification import sgd
from segue.trees import Tree, merge

OFFICE_HOME = (
    "Alarm_Clock", "Backpack", "Batteries", "Bed", "Bike", "Bottle", "Bucket", "Calculator", "Calendar", "Candles",
    "Chair", "Clipboards", "Computer", "Couch", "Curtains", "Desk_Lamp", "Drill", "Eraser", "Exit_Sign", "Fan",
    "File_Cabinet", "Flipflops", "Flowers", "Folder", "Fork", "Glasses", "Hammer", "Helmet", "Kettle", "Keyboard",
    "Knives", "Lamp_Shade", "Laptop", "Marker", "Monitor", "Mop", "Mouse", "Mug", "Notebook", "Oven", "Pan",
    "Paper_Clip", "Pen", "Pencil", "Postit_Notes", "Printer", "Push_Pin", "Radio", "Refrigerator", "Ruler", "Scissors",
    "Screwdriver", "Shelf", "Sink", "Sneakers", "Soda", "Speaker", "Spoon", "TV", "Table", "Telephone", "ToothBrush",
    "Toys", "Trash_Can", "Webcam",
)  # fmt: skip
"""The folders of a domain's classes."""

OFFICE_HOME_DOMAINS = {"art": "Art", "clipart": "Clipart", "product": "Product", "real": "Real World"}
"""The folders of the domains, by their names in pairs."""

VISDA = (
    "aeroplane", "bicycle", "bus", "car", "horse", "knife", "motorcycle", "person", "plant", "skateboard", "train",
    "truck",
)  # fmt: skip

SEEN: Tree = {"resize": [256, 256]}

WHOLE: Tree = {
    "network": {"encoder": "vit_base", "head": "bottleneck", "channels": 256, "drop_path": 0.0},
    "evaluation": {"mode": "middle"},
    "evidence": {"pictures": 64},
    "when": {
        "method.name=source_only": {"optim": sgd(0.01)},
        "size=distilled": {"network": {"encoder": "vit_base_6"}},
    },
}
"""What all pairs share; the student of CLDA has half of the blocks, equally wide."""


def _published(
    name: str, source: Tree, target: Tree, *, classes: tuple[str, ...], steps: int, cut: Tree, measure: str
) -> Tree:
    data: Tree = {
        "pair": name,
        "root": "data",  # holds a folder of each data set
        "classes": list(classes),
        "source": {"dataset": "class_folders", **SEEN, **source},
        "target": {"dataset": "class_folders", **SEEN, **target},
        # As in the papers, all of the target is trained on, without labels, and scored on.
        "evaluation": {"dataset": "class_folders", **SEEN, **target},
        "crop": [224, 224],
        "max_share": 1.0,
    }
    return merge(WHOLE, {"steps": steps, "data": data | cut, "evaluation": {"measure": measure}})


def _office_home() -> dict[str, Tree]:
    return {
        (name := f"office_{one}_to_{other}"): _published(
            name,
            {"root": "office_home", "split": OFFICE_HOME_DOMAINS[one]},
            {"root": "office_home", "split": OFFICE_HOME_DOMAINS[other]},
            classes=OFFICE_HOME,
            steps=30000,
            cut={"cut": "part", "batch": 24},
            measure="accuracy",
        )
        for one, other in permutations(OFFICE_HOME_DOMAINS, 2)
    }


STREET_OBJECTS: Tree = {
    "steps": 300,
    "network": {"encoder": "vit_nano", "head": "bottleneck", "channels": 64, "drop_path": 0.0},
    "data": {
        "pair": "street_objects",
        "classes": [
            "pole", "fence", "traffic light", "traffic sign", "vegetation", "person", "car", "bicycle",
        ],
        "source": {"dataset": "street_objects", "domain": "source", "split": "train", "pictures": 800},
        "target": {"dataset": "street_objects", "domain": "target", "split": "train", "pictures": 800},
        "source_evaluation": {"dataset": "street_objects", "domain": "source", "split": "val", "pictures": 200},
        "evaluation": {"dataset": "street_objects", "domain": "target", "split": "val", "pictures": 400},
        "crop": [64, 64],
        "max_share": 1.0,
        "cut": "part",
        "area": [0.5, 1.0],  # pictures are small
        "batch": 16,
        "workers": 0,  # each picture is drawn once, and kept
    },
    # A run is a few hundred steps: it needs higher rates than one of tens of thousands.
    "optim": {"lr": 0.003, "head_factor": 10.0},
    "run": {"log_every": 20, "draw_every": 100, "save_every": 100},
    "evaluation": {"mode": "whole"},
    "evidence": {"pictures": 40},
    "when": {
        "method.name=source_only": {"optim": sgd(0.03)},
        "method.teacher.name=collaborative": {  # a run is short
            "method": {"teacher": {"every": 2, "momentum": 0.99, "pictures": 100}}
        },
        # Shares of a run as short as this one; a mask of blocks as small as pictures are.
        "terms.conditional_adversarial": {
            "terms": {
                "conditional_adversarial": {"warmup": 100.0, "discriminator": {"channels": 128, "lr": 0.03}}
            }
        },
        "method.mask": {"method": {"mask": {"block": 16}}},
        "size=large": {"network": {"encoder": "vit_nano_deep"}},
    },
}  # fmt: skip
"""Objects cut out of the street scenes, in both looks."""

CLASSIFICATION_PAIRS: dict[str, Tree] = {
    "street_objects": STREET_OBJECTS,
    **_office_home(),
    "visda_2017": _published(
        "visda_2017",
        {"root": "visda_2017", "split": "train"},
        {"root": "visda_2017", "split": "validation"},
        classes=VISDA,
        steps=15000,
        cut={"cut": "middle", "batch": 32},
        measure="class_accuracy",
    ),
}
