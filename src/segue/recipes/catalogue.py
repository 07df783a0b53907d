"""The recipes by name, and how a recipe, a pair and a user's wishes become one experiment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from segue.classes import nearest
from segue.engine.experiment import Tree, merge, parse
from segue.engine.settings import Experiment
from segue.recipes import dacs, daformer, dida, hrda, mic, source_only, ssr, stct, target_supervised


@dataclass(frozen=True)
class Recipe:
    """What a paper does.

    Attributes:
        build: The paper's settings as a nested mapping.
        paper: Authors, venue and year.
        pieces: What it is made of, in a few words.
        published: Mean IoU in percent that the paper prints, by pair.
    """

    build: Callable[[], Tree]
    paper: str
    pieces: str
    published: Mapping[str, float]


RECIPES: dict[str, Recipe] = {
    "source_only": Recipe(source_only.source_only, "-", "supervised on the source", {}),
    "target_supervised": Recipe(
        target_supervised.target_supervised,
        "-",
        "oracle: supervised on target labels, for measuring only",
        {},
    ),
    "dacs": Recipe(
        dacs.dacs,
        "Tranheden et al., WACV 2021",
        "EMA teacher, ClassMix, colour jitter and blur",
        {"gta5_to_cityscapes": 52.1, "synthia_to_cityscapes": 48.3},
    ),
    "daformer": Recipe(
        daformer.daformer,
        "Hoyer et al., CVPR 2022",
        "DACS + rare class sampling + feature distance",
        {"gta5_to_cityscapes": 68.3, "synthia_to_cityscapes": 60.9},
    ),
    "hrda": Recipe(
        hrda.hrda,
        "Hoyer et al., ECCV 2022",
        "DAFormer + context and detail crops fused by attention",
        {"gta5_to_cityscapes": 73.8, "synthia_to_cityscapes": 65.8},
    ),
    "mic": Recipe(
        mic.mic,
        "Hoyer et al., CVPR 2023",
        "HRDA + masked image consistency",
        {"gta5_to_cityscapes": 75.9, "synthia_to_cityscapes": 67.3},
    ),
    "daformer_mic": Recipe(
        mic.daformer_mic,
        "Hoyer et al., CVPR 2023",
        "DAFormer + masked image consistency",
        {"gta5_to_cityscapes": 70.6, "synthia_to_cityscapes": 62.2},
    ),
    "stct": Recipe(
        stct.stct,
        "STCT + MHA",
        "DAFormer's networks; each target picture trusted as far as student and teacher agree",
        {"gta5_to_cityscapes": 56.65},
    ),
    "stct_mha": Recipe(
        stct.stct_mha,
        "STCT + MHA",
        "STCT + source and target meet in hybrid attention",
        {"gta5_to_cityscapes": 68.05, "synthia_to_cityscapes": 59.8},
    ),
    "dida": Recipe(
        dida.dida,
        "DIDA",
        "DAFormer + agreement on a bank of labelled instances",
        {"gta5_to_cityscapes": 71.0, "synthia_to_cityscapes": 63.3},
    ),
    "dida_paper": Recipe(dida.dida_paper, "DIDA", "DIDA whose instances correct the pseudo-label", {}),
    "dida_official_code": Recipe(
        dida.dida_official_code, "DIDA", "what DIDA's released code computes, for comparison", {}
    ),
    "ssr": Recipe(
        ssr.ssr,
        "SSR",
        "DAFormer + a second decoding of features that looked at SAM's",
        {"gta5_to_cityscapes": 69.3},
    ),
    "ssr_mic": Recipe(
        ssr.ssr_mic,
        "SSR",
        "SSR + masked image consistency",
        {"gta5_to_cityscapes": 70.6},
    ),
}


def experiment(recipe: str, pair: Mapping[str, Any], *wishes: Mapping[str, Any]) -> Experiment:
    """One experiment. Later beats earlier: 1 defaults, 2 the recipe, 3 the pair, 4 the wishes in order.

    Args:
        recipe: A name in RECIPES.
        pair: Settings of the pair. What it says of methods under ``methods``, of terms under ``terms`` and of
            sampling under ``rare_classes`` only adjusts (or leaves out) pieces that the recipe uses;
            ``high_resolution`` is what it changes for a recipe whose network looks at two resolutions.
        wishes: The user's own differences: a YAML file, flags, ``--set``.

    Raises:
        ValueError: If the recipe is unknown or the merged settings are wrong.
    """
    if recipe not in RECIPES:
        raise ValueError(f"unknown recipe {recipe!r}{nearest(recipe, list(RECIPES))}")
    tree = RECIPES[recipe].build()
    pair = dict(pair)
    high_resolution = pair.pop("high_resolution", {})
    if tree.get("network", {}).get("multi_resolution") is not None:
        pair = merge(pair, high_resolution)
    methods, terms, sampling = (pair.pop(key, {}) for key in ("methods", "terms", "rare_classes"))
    adjusted: Tree = dict(methods.get(tree["method"]["name"], {}))
    if tree["method"].get("mask") is None:
        adjusted.pop("mask", None)
    tree = merge(tree, pair, {"method": adjusted})
    used: Tree = tree.get("terms", {})
    tree = merge(tree, {"terms": {name: terms[name] for name in used if name in terms}})
    if tree["data"].get("rare_classes") is not None:
        tree = merge(tree, {"data": {"rare_classes": sampling}})
    for wish in wishes:
        tree = merge(tree, _terms_as_mapping(wish))
    if tree.get("reads_target_labels"):
        tree["data"] = target_supervised.with_target_as_source(tree["data"])
    return parse(merge(tree, {"recipe": recipe}))


def _terms_as_mapping(wish: Mapping[str, Any]) -> Tree:
    terms = wish.get("terms")
    return {**wish, "terms": {name: {} for name in terms}} if isinstance(terms, list) else dict(wish)
