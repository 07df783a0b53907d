"""The recipes by name, and how a recipe, a pair and the user's own settings become one experiment."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from segue.classes import nearest
from segue.engine.experiment import parse
from segue.engine.settings import Experiment
from segue.recipes import (
    alignment,
    baselines,
    classification,
    clda,
    daformer_family,
    disagreement,
    label_shift,
    offline,
    on_daformer,
    pit,
    pseudo_labels,
)
from segue.recipes.citations import short
from segue.recipes.pairs import with_pair
from segue.recipes.published import PublishedRow, published
from segue.trees import Tree, flatten, merge


@dataclass(frozen=True)
class Recipe:
    """What a paper does.

    Attributes:
        papers: Whose recipe it is, by the names of ``citations.yaml``: to be cited by those who use it.
        pieces: What it consists of, in a few words.
        published: The key of the paper's own rows in ``published.yaml``; None if no paper prints any.
        names_pictures: Whether it is for pictures that have one class each.
    """

    build: Callable[[], Tree]
    papers: tuple[str, ...]
    pieces: str
    published: str | None = None
    names_pictures: bool = False

    @property
    def paper(self) -> str:
        """Authors, venue and year of its papers; a dash if there are none."""
        return short(self.papers)

    @property
    def rows(self) -> dict[str, PublishedRow]:
        """What the paper prints, by pair.

        Raises:
            ValueError: If ``published.yaml`` has no such rows.
        """
        return {} if self.published is None else published().of(self.published)


RECIPES: dict[str, Recipe] = {
    "source_only": Recipe(baselines.source_only, (), "supervised on the source"),
    "adabn": Recipe(baselines.adabn, ("adabn",), "source_only + batch statistics of the target's pictures"),
    "target_supervised": Recipe(
        baselines.target_supervised, (), "oracle: supervised on target labels, for measuring only"
    ),
    "dacs": Recipe(
        daformer_family.dacs,
        ("dacs",),
        "EMA teacher, ClassMix, colour jitter and blur",
        published="dacs",
    ),
    "corda": Recipe(
        pseudo_labels.corda,
        ("corda", "dacs"),
        "DACS + depth, learnt beside the classes, which says how far a pixel is trusted",
        published="corda",
    ),
    "daformer": Recipe(
        daformer_family.daformer,
        ("daformer",),
        "DACS + rare class sampling + feature distance",
        published="daformer",
    ),
    "hrda": Recipe(
        daformer_family.hrda,
        ("hrda",),
        "DAFormer + context and detail crops fused by attention",
        published="hrda",
    ),
    "mic": Recipe(daformer_family.mic, ("mic",), "HRDA + masked image consistency", published="mic"),
    "daformer_mic": Recipe(
        daformer_family.daformer_mic,
        ("mic",),
        "DAFormer + masked image consistency",
        published="daformer_mic",
    ),
    "stct": Recipe(
        on_daformer.stct,
        ("stct_mha",),
        "DAFormer's networks; each target picture trusted as far as student and teacher agree",
        published="stct",
    ),
    "stct_mha": Recipe(
        on_daformer.stct_mha,
        ("stct_mha",),
        "STCT + source and target meet in hybrid attention",
        published="stct_mha",
    ),
    "dida": Recipe(
        on_daformer.dida, ("dida",), "DAFormer + agreement on a bank of labelled instances", published="dida"
    ),
    "dida_paper": Recipe(on_daformer.dida_paper, ("dida",), "DIDA whose instances correct the pseudo-label"),
    "dida_official_code": Recipe(
        on_daformer.dida_official_code, ("dida",), "what DIDA's released code computes, for comparison"
    ),
    "ssr": Recipe(
        on_daformer.ssr,
        ("ssr",),
        "DAFormer + a second decoding of features that looked at SAM's",
        published="daformer_ssr",
    ),
    "ssr_mic": Recipe(
        on_daformer.ssr_mic, ("ssr",), "SSR + masked image consistency", published="daformer_mic_ssr"
    ),
    "dida_ssr": Recipe(
        on_daformer.dida_ssr, ("dida", "ssr"), "DAFormer + the instance bank + SAM's features"
    ),
    "daformer_fda": Recipe(
        on_daformer.daformer_fda,
        ("daformer", "fda"),
        "DAFormer + the source with the target's low frequencies",
    ),
    "kd": Recipe(
        clda.kd,
        ("hinton",),
        "a small student learns what a large trained teacher says of the target",
    ),
    "clda": Recipe(
        clda.clda,
        ("clda",),
        "kd + the teacher's useless layers follow the student's that attend alike",
        published="clda_daformer_student",
    ),
    "clda_plain": Recipe(
        clda.clda_plain, ("clda",), "clda whose student sees the target as it is, as equation 4 is written"
    ),
    "clda_hrda": Recipe(
        clda.clda_hrda,
        ("clda",),
        "the same with networks that look at two resolutions",
        published="clda_hrda_student",
    ),
    "minent": Recipe(
        alignment.minent,
        ("advent",),
        "predictions on the target of low entropy",
        published="minent",
    ),
    "advent": Recipe(
        alignment.advent,
        ("advent",),
        "entropy maps of both domains alike to a discriminator",
        published="advent_single",
    ),
    "adaptsegnet": Recipe(
        alignment.adaptsegnet,
        ("adaptsegnet",),
        "predictions of both domains alike to a discriminator",
        published="adaptsegnet",
    ),
    "intrada": Recipe(
        alignment.intrada,
        ("intrada",),
        "AdvEnt, then AdvEnt from the target's easy pictures to its hard ones",
        published="intrada",
    ),
    "advent_minent": Recipe(
        alignment.advent_minent,
        ("advent",),
        "the mean of AdvEnt's and MinEnt's predictions",
        published="advent",
    ),
    "fada": Recipe(alignment.fada, ("fada",), "features alike, class by class, to a discriminator"),
    "fada_distilled": Recipe(
        label_shift.fada_distilled,
        ("fada",),
        "FADA, then a new network that learns its labels",
        published="fada",
    ),
    "undoing": Recipe(
        label_shift.undoing,
        ("undoing", "fada"),
        "FADA whose logits are moved to the target's class frequencies, then distilled",
    ),
    "undoing_refined": Recipe(
        label_shift.undoing_refined,
        ("undoing", "fada"),
        "FADA whose classifier learns again with the target's class frequencies, then distilled",
    ),
    "patchalign": Recipe(
        alignment.patchalign,
        ("patchalign",),
        "AdaptSegNet + kinds of patches alike to a discriminator",
        published="patchalign",
    ),
    "apoda": Recipe(
        alignment.apoda,
        ("apoda",),
        "features classified alike after adversarial changes",
        published="apoda",
    ),
    "mrnet": Recipe(
        disagreement.mrnet,
        ("mrnet",),
        "two predictions of one network agree on the target, and look like the source's to discriminators",
        published="mrnet",
    ),
    "rmrnet": Recipe(
        disagreement.rmrnet,
        ("rmrnet", "mrnet"),
        "MRNet, then its labels, discounted where its two predictions disagree",
        published="r_mrnet",
    ),
    "pit": Recipe(
        pit.pit,
        ("pit",),
        "regions of the classes that a picture shows as a whole are labelled, and learnt in rounds",
        published="pit",
    ),
    "fda": Recipe(
        pseudo_labels.fda,
        ("fda",),
        "the source with the target's low frequencies; three bands, twice labelled by their average",
        published="fda_mbt",
    ),
    "fda_single": Recipe(
        pseudo_labels.fda_single, ("fda",), "the source with the target's low frequencies; one band"
    ),
    "sac": Recipe(
        pseudo_labels.sac,
        ("sac",),
        "several views of a crop, labelled together by a slow teacher that asks less of rare classes",
        published="sac",
    ),
    "sac_official_code": Recipe(
        pseudo_labels.sac_official_code, ("sac",), "what SAC's released code computes, for comparison"
    ),
    "proda": Recipe(
        pseudo_labels.proda,
        ("proda",),
        "AdaptSegNet, then labels corrected by prototypes, then two students of the last one's labels",
        published="proda",
    ),
    "dpl": Recipe(
        pseudo_labels.dpl,
        ("dpl",),
        "a network in each domain's look, by a translator trained here; they label together in rounds",
        published="dpl",
    ),
    "dpl_dual": Recipe(
        pseudo_labels.dpl_dual,
        ("dpl",),
        "DPL whose two networks predict together, one on the translated picture",
        published="dpl_dual",
    ),
    "dpl_fda": Recipe(
        pseudo_labels.dpl_fda,
        ("dpl", "fda"),
        "not DPL: the paths of DPL-Dual with a mean amplitude in the place of the translator",
    ),
    "cbst": Recipe(
        offline.cbst,
        ("cbst",),
        "rounds: label the surest pixels of every class, train on them, again",
        published="cbst",
    ),
    "cbst_sp": Recipe(offline.cbst_sp, ("cbst",), "CBST + classes are expected where the source has them"),
    "crst": Recipe(offline.crst, ("crst",), "CBST + a regulariser against certainty", published="mrkld"),
    "crst_lrent": Recipe(offline.crst_lrent, ("crst",), "CBST with soft pseudo-labels", published="lrent"),
    "ensemble": Recipe(
        offline.ensemble,
        ("ensemble",),
        "members fused class by class from whom is believed there; one student",
        published="ensemble_channel",
    ),
    "end": Recipe(offline.end, ("hinton",), "a student of several models' mean probability", published="end"),
    "end2": Recipe(offline.end2, ("end2",), "a student of their distribution", published="end2"),
    "cdan": Recipe(
        classification.cdan,
        ("cdan",),
        "pictures of one class: features times classes alike to a discriminator",
        names_pictures=True,
    ),
    "mcc": Recipe(
        classification.mcc,
        ("mcc",),
        "pictures of one class: a batch's predictions do not mix classes up",
        names_pictures=True,
    ),
    "sdat": Recipe(
        classification.sdat,
        ("sdat",),
        "CDAN + MCC at a flat minimum (SAM)",
        published="sdat",
        names_pictures=True,
    ),
    "mic_cls": Recipe(
        classification.mic_cls,
        ("mic",),
        "SDAT + masked image consistency",
        published="mic_cls",
        names_pictures=True,
    ),
    "clda_cls": Recipe(
        classification.clda_cls,
        ("clda",),
        "a large teacher's labels, MCC and SAM; its useless layers follow the student's",
        names_pictures=True,
    ),
}


def find(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: If there is none; the message names the nearest one.
    """
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}{nearest(name, list(RECIPES))}")
    return RECIPES[name]


Size: TypeAlias = Literal["large", "distilled"]
"""The network of a pair's large teachers, or the one into which they are distilled."""


def experiment(
    recipe: str, pair: Mapping[str, Any], *wishes: Mapping[str, Any], size: Size | None = None
) -> Experiment:
    """One experiment. Later beats earlier: defaults, recipe, pair, wishes in order.

    Args:
        pair: Settings of the pair, with what only some recipes need under ``when`` (see :mod:`segue.recipes.pairs`).
        wishes: The user's own settings: a YAML file, flags, ``--set``.
        size: Which of the pair's networks the run is to have; None for the recipe's own.

    Raises:
        ValueError: If the recipe is unknown or the merged settings are wrong.
    """
    tree = find(recipe).build()
    own_size = tree.pop("size", None)
    wishes = tuple(_terms_as_mapping(wish) for wish in wishes)
    tree = with_pair(tree, pair, wishes, size=size or own_size)
    _check_sections(tree)
    if tree["method"].get("rounds") is not None:
        tree = _counted_in_steps(tree, wishes)
    if tree.get("reads_target_labels"):
        tree["data"] = baselines.with_target_as_source(tree["data"])
    return parse(merge(tree, {"recipe": recipe}))


def _check_sections(tree: Tree) -> None:
    """Raise ``ValueError`` if a group of settings that is looked into here is missing or no group."""
    for path in (("method",), ("data",), ("data", "source"), ("data", "target")):
        section: object = tree
        for key in path:
            if not isinstance(section, Mapping) or key not in section:
                raise ValueError(f"{'.'.join(path)!r} is missing: name a pair that has it")
            section = section[key]
        if not isinstance(section, Mapping):
            raise ValueError(f"{'.'.join(path)}: expected settings by name, found {section!r}")


def _counted_in_steps(tree: Tree, wishes: Sequence[Mapping[str, Any]]) -> Tree:
    """If the user names steps but no epochs, every round takes that many steps."""
    names = [name for wish in wishes for name in flatten(wish)]
    if "steps" not in names or "method.rounds.epochs" in names:
        return tree
    return merge(tree, {"method": {"rounds": {"epochs": None}}})


def _terms_as_mapping(wish: Mapping[str, Any]) -> Tree:
    terms = wish.get("terms")
    return {**wish, "terms": {str(name): {} for name in terms}} if isinstance(terms, list) else dict(wish)
