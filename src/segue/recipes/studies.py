"""Studies: tables of variants whose differences a paper reports, to be run here beside its numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from segue.engine.tree import Tree
from segue.recipes.catalogue import Size


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        label: What the line is called.
        recipe: The recipe it is run with.
        changes: What differs from the recipe.
        published: What the paper prints for it, mean IoU in percent on GTA5 to Cityscapes; None if nothing.
        needs: Settings that are another row's run folder, of the same seed, by that row's label.
        size: Whether the network is the pair's large one or the one that is distilled into; None for the recipe's.
    """

    label: str
    recipe: str
    changes: Tree = field(default_factory=dict[str, object])
    published: float | None = None
    needs: Mapping[str, str] = field(default_factory=dict[str, str])
    size: Size | None = None


@dataclass(frozen=True)
class Study:
    """Tables of one paper.

    Attributes:
        question: What it answers.
        paper: Whose numbers stand beside ours.
        baseline: The label of the row that the others are compared with.
        tables: Rows by the table's title; a row in several tables is run once.
    """

    question: str
    paper: str
    baseline: str
    tables: Mapping[str, tuple[Row, ...]]


def _pair(**changes: object) -> Tree:
    return {"method": {"pair": changes}}


def _stages(*stages: int, published: float) -> Row:
    named = "+".join(str(stage) for stage in stages)
    return Row(f"stages {named}", "stct_mha", _pair(stages=list(stages)), published)


STCT = Row("STCT", "stct", published=56.65)
FULL = Row("STCT + MHA", "stct_mha", published=68.05)

DAFORMER = Row("daformer", "daformer", published=68.3)
DIDA = Row("dida", "dida", published=71.0)
SSR = Row("ssr", "ssr", published=69.3)


def _bank(label: str, published: float | None = None, **changes: object) -> Row:
    return Row(label, "dida", {"terms": {"instance_bank": changes}}, published)


def _looking(*stages: int, published: float) -> Row:
    named = "+".join(f"S{stage - 1}" for stage in stages)
    return Row(f"ssr {named}", "ssr", {"terms": {"sam_regularizer": {"stages": list(stages)}}}, published)


def _taught(label: str, recipe: str, published: float | None = None, **changes: object) -> Row:
    """A row whose teacher is the run of the row "large teacher"."""
    tree: Tree = {"method": {"collaborate": changes}} if changes else {}
    return Row(label, recipe, tree, published, {"method.teacher_model": LARGE.label})


LARGE = Row("large teacher", "daformer", published=68.3, size="large")
SMALL = Row("small student alone", "daformer", published=68.1, size="distilled")
CLDA = _taught("clda", "clda", 69.5)


STUDIES: dict[str, Study] = {
    "clda": Study(
        question="Does a small student gain from a large teacher, and more if the teacher learns from it?",
        paper="CLDA",
        baseline="small student alone",
        tables={
            "table 3: pieces": (
                LARGE,
                SMALL,
                _taught("kd", "kd", 68.9),
                _taught("clda, random map", "clda", 68.3, match="random"),
                CLDA,
            ),
            "table 4: map": (
                _taught("token", "clda", 68.4, match="token"),
                CLDA,
                _taught("both", "clda", 68.5, match="both"),
            ),
        },
    ),
    "regularisers": Study(
        question="Do instances and SAM's features help DAFormer?",
        paper="DIDA, SSR",
        baseline="daformer",
        tables={
            "main": (
                DAFORMER,
                DIDA,
                Row("dida_paper", "dida_paper"),
                Row("dida_official_code", "dida_official_code"),
                SSR,
                Row("ssr_mic", "ssr_mic", published=70.6),
            )
        },
    ),
    "dida_ablations": Study(
        question="How large a bank, how sharp, and how much of its loss?",
        paper="DIDA",
        baseline="dida",
        tables={
            "lambda": (
                _bank("lambda 0.05", 69.3, share=0.05),
                _bank("lambda 0.1", 69.8, share=0.1),
                _bank("lambda 0.5", 70.2, share=0.5),
                _bank("lambda 1", 71.0, share=1.0),
                _bank("lambda 2", 70.5, share=2.0),
            ),
            "temperature": (
                _bank("tau 0.05", temperature=0.05),
                DIDA,
                _bank("tau 0.5", temperature=0.5),
                _bank("tau 1", temperature=1.0),
            ),
            "instances": tuple(_bank(f"K {size}", size=size) for size in (100, 150, 200, 250, 300)),
        },
    ),
    "ssr_stages": Study(
        question="Which stages should look at SAM's features?",
        paper="SSR",
        baseline="daformer",
        tables={
            "stages": (
                DAFORMER,
                _looking(4, published=68.8),
                _looking(3, 4, published=69.0),
                _looking(2, 3, 4, published=68.7),
                SSR,
            )
        },
    ),
    "daformer_family": Study(
        question="What does each piece from DACS to MIC bring?",
        paper="the papers of each recipe",
        baseline="daformer",
        tables={
            "recipes": (
                Row("source_only", "source_only"),
                Row("adabn", "adabn"),
                Row("dacs", "dacs", published=52.1),
                Row("daformer", "daformer", published=68.3),
                Row("daformer_mic", "daformer_mic", published=70.6),
                Row("hrda", "hrda", published=73.8),
                Row("mic", "mic", published=75.9),
                Row("target_supervised", "target_supervised"),
            )
        },
    ),
    "stct_mha": Study(
        question="Does coordination help self-training, and hybrid attention coordination?",
        paper="STCT + MHA",
        baseline="STCT",
        tables={
            "main": (
                Row("source only", "source_only", published=51.37),
                Row("no coordination", "stct", {"method": {"coordinate": {"mode": "none"}}}, 54.0),
                STCT,
                FULL,
                Row("from source only", "stct_mha", published=69.18, needs={"network.start": "source only"}),
            )
        },
    ),
    "stct_mha_ablations": Study(
        question="When to align, and how?",
        paper="STCT + MHA",
        baseline="STCT",
        tables={
            "figure 4: coordination": (
                Row("alpha 0", "stct", {"method": {"coordinate": {"alpha": 0.0}}}, 51.37),
                Row("no coordination", "stct", {"method": {"coordinate": {"mode": "none"}}}, 54.0),
                STCT,
                Row("accuracy only", "stct", {"method": {"coordinate": {"mode": "accuracy"}}}),
                Row("time only", "stct", {"method": {"coordinate": {"mode": "time"}}}),
            ),
            "table 1: stages": (
                STCT,
                _stages(1, published=57.21),
                _stages(2, published=58.87),
                _stages(3, published=65.70),
                _stages(4, published=57.51),
                _stages(1, 2, published=60.71),
                _stages(2, 3, published=66.34),
                _stages(3, 4, published=66.79),
                _stages(1, 2, 3, published=66.29),
                _stages(2, 3, 4, published=67.87),
                FULL,
            ),
            "table 2: grouping": (
                Row("no groups", "stct_mha", _pair(grouping="none"), 61.91),
                Row("random", "stct_mha", _pair(grouping="random"), 63.37),
                Row("HVH", "stct_mha", _pair(grouping="hvh"), 64.55),
                Row("HVR", "stct_mha", _pair(grouping="hvr"), 64.93),
                Row("cutout", "stct_mha", _pair(grouping="cutout"), 65.07),
                FULL,
            ),
            "table 2: scattered classes": (
                FULL,
                Row("1 scattered", "stct_mha", _pair(scattered=1), 67.65),
                Row("4 scattered", "stct_mha", _pair(scattered=4), 65.94),
                Row("8 scattered", "stct_mha", _pair(scattered=8), 65.83),
                Row("12 scattered", "stct_mha", _pair(scattered=12), 64.58),
                Row("14 scattered", "stct_mha", _pair(scattered=14), 63.37),
            ),
            "table 2: direction": (
                STCT,
                Row("S2T", "stct_mha", _pair(direction="s2t"), 55.91),
                Row("T2S", "stct_mha", _pair(direction="t2s"), 58.38),
                FULL,
            ),
        },
    ),
}
"""Studies by name."""
