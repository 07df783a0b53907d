"""Pairs of domains: built-in ones by name, others from a YAML file or two folders.

A pair is a tree of settings with one additional key. Under ``when`` stands what only some recipes need: settings by a
condition, merged in their order if it holds for the recipe:

    when:
      terms.feature_distance:           # the recipe has this loss (the setting is there and not null)
        terms: {feature_distance: {classes: [pole, sign]}}
      method.teacher.name=average:      # the setting has this value
        method: {teacher: {momentum: 0.995}}
      size=large:                       # of a large teacher; size=distilled: of the network it is distilled into
        network: {encoder: mit_b5}

A file may begin with ``extends: PAIR``, a built-in pair or another file (relative to its own folder), and then says
only what is otherwise: where things lie on a machine, for example.

Conditions are about the recipe as the user changes it. Settings under a condition may have a ``when`` of their own:
then both conditions must hold. What a recipe sets to null stays null whatever a condition says.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from segue.classes import nearest
from segue.engine.experiment import check_key
from segue.recipes.cityscapes_pairs import CITYSCAPES_PAIRS
from segue.recipes.classification_pairs import CLASSIFICATION_PAIRS
from segue.trees import Tree, merge, read_yaml

DOMAINS = ("source", "target", "source_evaluation", "evaluation")

ENLARGED: Tree = {"size": [256, 512], "resize": [256, 512]}
"""Scenes are rendered at that size; pictures of any other size are resized to it."""

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
        "max_share": 1.0,  # often half of a street is nothing but road
        "batch": 4,
        "workers": 1,
    },
    # Training starts from random weights and takes a few hundred steps: it needs high rates from the start, a teacher
    # that follows within ten steps (2.5 % of the run, as in DAFormer's), and mild colour changes.
    "optim": {"lr": 1e-2, "head_factor": 1.0, "warmup": 0.06},
    "run": {"log_every": 20, "draw_every": 200, "save_every": 200},
    "when": {
        "method.name=self_training": {"method": {"augment": {"strength": 0.05, "blur_probability": 0.2}}},
        "method.depth": {"network": {"head": "segformer_tasks"}},  # these scenes know how far things are
        "method.teacher.name=average": {"method": {"teacher": {"momentum": 0.9}}},
        # It follows within an eighth of a run; one that follows within seven steps scores far lower (docs/results.md).
        "method.teacher.name=slow": {"method": {"teacher": {"every": 10, "momentum": 0.9}}},
        "method.name=several_views": {
            "data": {"scale": [1.0, 1.0]},  # pictures are no higher than crops: smaller ones would have to be padded
            # SAC's colour changes are for photographs; these pictures' colours say what things are.
            "method": {"augment": {"strength": 0.05, "hue": 0.05, "grey_probability": 0.0}},
        },
        "method.name=prototypes": {  # rates are high from the start, and a run is short
            "method": {
                "rate": 1.0, "renewal": 0.01,
                "strong": {"augment": {"strength": 0.05, "blur_probability": 0.2}},
            }
        },
        # Fourteen trainings in minutes: short ones, and generators as small as the pictures.
        "method.name=dual_path": {
            "steps": 200,
            "method": {"translator": {"share": 2.0, "crop": [64, 64]}},
        },
        "method.translator.kind=cycle": {
            "method": {
                "translator": {"lr": 1e-3, "generators": {"channels": 16, "blocks": 3, "lr": 1e-3}}
            }
        },
        "method.teacher.name=collaborative": {  # a run is short
            "method": {"teacher": {"every": 2, "momentum": 0.99, "pictures": 100}}
        },
        "data.rare_classes": {"data": {"rare_classes": {"temperature": 0.05, "min_share": 0.0005}}},
        # Random weights have no features worth keeping; only SAM's published weights are worth looking at.
        "terms.feature_distance": {"terms": {"feature_distance": None}},
        # As narrow as the pictures are small: with the papers' shares and rates such a discriminator stays in balance
        # and the source is learnt as well as without it (no target label was looked at).
        "terms.adversarial": {"terms": {"adversarial": {"discriminator": {"channels": 16}}}},
        "terms.class_adversarial": {"terms": {"class_adversarial": {"channels": [64, 32]}}},
        "terms.multi_scale_adversarial": {
            "terms": {"multi_scale_adversarial": {"discriminator": {"channels": 8}}}
        },
        # The recipe compares two predictions, which this head makes.
        "terms.memory": {"network": {"head": "deeplab_v2_se", "auxiliary": 0.5}},
        "terms.frozen_regularizer": {"terms": {"frozen_regularizer": {"encoder": "sam_tiny"}}},
        # The same streets, rendered twice as large: the context sees what other recipes see, the detail sees
        # what is lost at that size.
        "network.multi_resolution": {
            "data": {**dict.fromkeys(DOMAINS, ENLARGED), "crop": [256, 256]},
            "evaluation": {"mode": "auto"},  # scored as other recipes are on this pair: small pictures, in one piece
        },
        "size=large": {"network": {"encoder": "mit_nano_deep"}},
    },
}  # fmt: skip

PAIRS: dict[str, Tree] = {"street_scenes": STREET_SCENES, **CITYSCAPES_PAIRS, **CLASSIFICATION_PAIRS}


def pair(name: str) -> Tree:
    """A built-in pair, or the pair that a YAML file describes.

    Raises:
        ValueError: If it is neither.
        FileNotFoundError: If it looks like a file that is not there.
    """
    if name in PAIRS:
        return PAIRS[name]
    if name.endswith((".yaml", ".yml")):
        return _from_file(Path(name))
    raise ValueError(f"unknown pair {name!r}{nearest(name, list(PAIRS))}; or give a YAML file")


def _from_file(path: Path, *extending: Path) -> Tree:
    """The pair of a file, with what it extends; ``extending`` are the files that led here."""
    if path.resolve() in extending:
        raise ValueError(f"{path}: this pair extends itself")
    tree = read_yaml(path)
    base = str(tree.pop("extends", ""))
    if not base:
        return tree
    is_file = base.endswith((".yaml", ".yml"))
    below = _from_file(path.parent / base, path.resolve(), *extending) if is_file else pair(base)
    return merge(below, tree)


def with_pair(
    recipe: Tree,
    pair: Mapping[str, Any],
    wishes: Sequence[Mapping[str, Any]] = (),
    *,
    size: str | None = None,
) -> Tree:
    """A recipe's settings with those of a pair and the user's own, and those of the pair whose conditions hold.

    Args:
        wishes: What the user sets. It beats the pair, and what it adds to the recipe meets conditions, too.
        size: What the condition ``size=...`` is compared with.

    Raises:
        ValueError: If a condition names no setting, or what it holds is not a mapping.
    """
    wanted = merge(recipe, *wishes)

    def merged(tree: Tree, changes: Mapping[str, Any]) -> Tree:
        changes = dict(changes)
        inner = _mapping(changes.pop("when", {}), "when")
        tree = merge(tree, changes)
        for condition, more in inner.items():
            if _holds(condition, wanted, size):
                tree = merged(tree, _without_ruled_out(_mapping(more, f"when {condition}"), wanted))
        return tree

    return merge(merged(recipe, pair), *wishes)


def _holds(condition: str, wanted: Mapping[str, Any], size: str | None) -> bool:
    key, has_value, value = str(condition).partition("=")
    if key == "size" and has_value:
        return size == value
    check_key(key)
    setting: Any = wanted
    for part in key.split("."):
        setting = setting.get(part) if isinstance(setting, Mapping) else None
    return str(setting) == value if has_value else setting is not None


def _without_ruled_out(changes: Mapping[str, Any], wanted: Mapping[str, Any]) -> Tree:
    """Changes, without those of settings that the recipe or the user sets to None."""
    left: Tree = {}
    for key, value in changes.items():
        own = wanted.get(key, {})
        if own is not None:
            is_inner = isinstance(value, Mapping) and isinstance(own, Mapping)
            left[key] = _without_ruled_out(cast(Tree, value), cast(Tree, own)) if is_inner else value
    return left


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}: expected settings by name, found {value!r}")
    return cast(Mapping[str, Any], value)
