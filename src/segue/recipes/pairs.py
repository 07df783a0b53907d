"""Pairs of domains: built-in ones by name, others from a YAML file or two folders."""

from pathlib import Path

from segue.classes import nearest
from segue.engine.experiment import read_yaml
from segue.engine.tree import Tree
from segue.recipes.cityscapes_pairs import CITYSCAPES_PAIRS

STREET_SCENES: Tree = {
    "steps": 800,
    "network": {"encoder": "mit_nano", "head": "segformer", "channels": 64, "drop_path": 0.0},
    "data": {
        "pair": "street_scenes",
        "classes": [
            "road", "sidewalk", "building", "fence", "pole", "traffic light", "traffic sign", "vegetation", "sky",
            "person", "car", "bicycle",
        ],
        "source": {"dataset": "street_scenes", "domain": "source", "split": "train", "pictures": 500},
        "target": {"dataset": "street_scenes", "domain": "target", "split": "train", "pictures": 500},
        "source_evaluation": {"dataset": "street_scenes", "domain": "source", "split": "val", "pictures": 100},
        "evaluation": {"dataset": "street_scenes", "domain": "target", "split": "val", "pictures": 100},
        "crop": [128, 128],
        "max_share": 1.0,  # half of a street is often road alone
        "batch": 4,
        "workers": 1,
    },
    # From random weights in a few hundred steps: high rates from the start, a teacher that follows within ten
    # steps (2.5 % of DAFormer's run, too), and mild colour changes, as there is no time to learn from wild ones.
    "optim": {"lr": 1e-2, "head_factor": 1.0, "warmup": 0.06},
    "methods": {
        "self_training": {
            "momentum": 0.9,
            "augment": {"strength": 0.05, "blur_probability": 0.2},
            "collaborate": {"every": 2, "momentum": 0.99, "pictures": 100},  # a run is short
        }
    },
    "rare_classes": {"temperature": 0.05, "min_share": 0.0005},
    # Random weights have no features worth keeping; SAM's are worth looking at only with published weights.
    "terms": {
        "feature_distance": None,
        "sam_regularizer": {"encoder": "tiny"},
        # Ten rows a class, and little weight: in so short a run the bank is still wrong about rare classes.
        "instance_bank": {"size": 120, "interval": 5, "momentum": 0.9, "share": 0.1},
    },
    # The context sees what other recipes see, the detail twice as much of it.
    "high_resolution": {
        "data": {
            "source": {"resize": [256, 512]},
            "target": {"resize": [256, 512]},
            "source_evaluation": {"resize": [256, 512]},
            "evaluation": {"resize": [256, 512]},
            "crop": [256, 256],
        },
        "rare_classes": {"min_crop_ratio": 2.0},
        "evaluation": {"mode": "auto"},  # scored as other recipes are here: small pictures, in one piece
    },
    "large": {"network": {"encoder": "mit_nano_deep"}},  # of a teacher that is distilled
    "run": {"log_every": 20, "draw_every": 200, "save_every": 200},
}  # fmt: skip

PAIRS: dict[str, Tree] = {"street_scenes": STREET_SCENES, **CITYSCAPES_PAIRS}


def pair(name: str) -> Tree:
    """A built-in pair, or the pair that a YAML file describes.

    Raises:
        ValueError: If it is neither.
        FileNotFoundError: If it looks like a file that is not there.
    """
    if name in PAIRS:
        return PAIRS[name]
    if name.endswith((".yaml", ".yml")):
        return read_yaml(Path(name))
    raise ValueError(f"unknown pair {name!r}{nearest(name, list(PAIRS))}; or give a YAML file")


def from_folders(
    source: Path | None, target: Path | None, *, classes: Path | None, evaluation: Path | None
) -> Tree:
    """A pair of two folders.

    Each folder's own ``classes.json`` or ``.yaml`` says what its label values mean; one without has the values of
    the class list that is trained on.

    Args:
        source: Folder with ``images`` and ``labels``.
        target: Folder of pictures.
        classes: YAML or JSON list of the classes to train; None for the source's own list.
        evaluation: Labelled target pictures to score on; None for no score.

    Raises:
        FileNotFoundError: If there is no class list.
        ValueError: If the class list is not one.
    """
    assert source is not None and target is not None, "the command line asks for both"
    from segue.data.class_map import CLASS_FILES, class_file, read_class_list

    listed = classes or class_file(source)
    if listed is None:
        raise FileNotFoundError(
            f"{source}: no class list here ({', '.join(CLASS_FILES)}); name one with --classes FILE"
        )
    known = read_class_list(listed)

    def domain(folder: Path) -> Tree:
        found = {"dataset": "folder", "root": str(folder.absolute())}
        return found if class_file(folder) else {**found, "label_classes": str(listed.absolute())}

    data: Tree = {
        "pair": f"{source.name} to {target.name}",
        "classes": list(known.names),
        "colours": [list(colour) for colour in known.colours],
        "source": domain(source),
        "target": domain(target),
    }
    if evaluation is not None:
        data["evaluation"] = domain(evaluation)
    return {"data": data}
