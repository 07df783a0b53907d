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

CLASS_FILES = ("classes.json", "classes.yaml", "classes.yml")
"""Where a folder's own class list is looked for."""

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
    """A pair of two folders whose labels already hold training ids in the order of the class list.

    Args:
        source: Folder with ``images`` and ``labels``.
        target: Folder of pictures.
        classes: YAML or JSON class list; None finds ``classes.json`` or ``.yaml`` in the source folder.
        evaluation: Labelled target pictures to score on; None for no score.

    Raises:
        FileNotFoundError: If there is no class list.
        ValueError: If the class list is not one.
    """
    assert source is not None and target is not None, "the command line asks for both"
    from segue.data.class_map import read_class_list

    found = [path for name in CLASS_FILES if (path := source / name).is_file()]
    listed = classes or (found[0] if found else None)
    if listed is None:
        raise FileNotFoundError(
            f"{source}: no class list here ({', '.join(CLASS_FILES)}); name one with --classes FILE"
        )
    known = read_class_list(listed)
    domain = {"dataset": "folder", "label_classes": str(listed.absolute())}
    data: Tree = {
        "pair": f"{source.name} to {target.name}",
        "classes": list(known.names),
        "colours": [list(colour) for colour in known.colours],
        "source": {**domain, "root": str(source.absolute())},
        "target": {**domain, "root": str(target.absolute())},
    }
    if evaluation is not None:
        data["evaluation"] = {**domain, "root": str(evaluation.absolute())}
    return {"data": data}
