"""The built-in studies: tables of variants that a paper compares, to be run beside its numbers."""

from pathlib import Path

from segue.classes import nearest
from segue.recipes.alignment_study import ADVERSARIAL, FROM_TWO_PREDICTIONS, TWO_PREDICTIONS
from segue.recipes.catalogue import Size
from segue.recipes.daformer_family import hrda
from segue.recipes.ensemble_study import ENSEMBLE
from segue.recipes.pseudo_labels_study import PSEUDO_LABELS
from segue.recipes.study import FROM_SOURCE, Study, StudyRow, onward, read
from segue.trees import Tree


def find(name: str, *, on: str) -> Study:
    """A built-in study with what is printed on a pair, or the study that a YAML file describes.

    Raises:
        ValueError: If there is none of that name, or the file is no study.
        FileNotFoundError: If there is no such file.
    """
    if name.endswith((".yaml", ".yml")):
        return read(Path(name))
    if name not in STUDIES:
        raise ValueError(f"unknown study {name!r}{nearest(name, list(STUDIES))}; or give a YAML file")
    return STUDIES[name].on(on)


def _pair(**changes: object) -> Tree:
    return {"method": {"pair": changes}}


def _stages(*stages: int, published: float) -> StudyRow:
    named = "+".join(str(stage) for stage in stages)
    return StudyRow(f"stages {named}", "stct_mha", _pair(stages=list(stages)), published)


def _coordinate(label: str, published: float | None = None, **changes: object) -> StudyRow:
    return StudyRow(label, "stct", {"method": {"coordinate": changes}}, published)


STCT = StudyRow("STCT", "stct", published=56.65)  # alpha 2e-4
FULL = StudyRow("STCT + MHA", "stct_mha", published=68.05)  # an inter share of one half
# The paper's source-only training: the same run with no weight on the target's loss from start to end.
ALPHA_0 = _coordinate("alpha 0", 51.37, alpha=0.0)
PLAIN: Tree = {"coordinate": {"mode": "none"}}
UNCOORDINATED = _coordinate("no coordination", 54.0, mode="none")

DAFORMER = StudyRow("daformer", "daformer", published=68.3)
DIDA = StudyRow("dida", "dida", published=71.0)
SSR = StudyRow("ssr", "ssr", published=69.3)


def _bank(label: str, published: float | None = None, **changes: object) -> StudyRow:
    return StudyRow(label, "dida", {"terms": {"instance_bank": changes}}, published)


def _looking(*stages: int, published: float) -> StudyRow:
    named = "+".join(f"S{stage - 1}" for stage in stages)
    return StudyRow(
        f"ssr {named}", "ssr", {"terms": {"frozen_regularizer": {"stages": list(stages)}}}, published
    )


def _taught(label: str, recipe: str, published: float | None = None, **changes: object) -> StudyRow:
    """A row whose teacher is the run of the row "large teacher"."""
    tree: Tree = {"method": {"teacher": changes}} if changes else {}
    return StudyRow(label, recipe, tree, published, {"method.teacher.model": LARGE.label})


LARGE = StudyRow("large teacher", "daformer", published=68.3, size="large")
SMALL = StudyRow("small student alone", "daformer", published=68.1, size="distilled")
CLDA = _taught("clda", "clda", 69.5)


def _sized(label: str, recipe: str, size: Size, base: str | None = None, **needs: str) -> StudyRow:
    """A row that goes on from the source-only model of its seed and size; what else it needs is a method's setting."""
    others = {f"method.teacher.{key}": row for key, row in needs.items()}
    return StudyRow(
        label, recipe, needs={"network.start": f"source only, {size}"} | others, size=size, base=base
    )


TWO_RESOLUTIONS: Tree = {key: hrda()[key] for key in ("network", "evaluation")}


def _finer(label: str, recipe: str, base: str | None = None) -> StudyRow:
    """A row that goes on from the source-only model of its seed that sees two resolutions."""
    return StudyRow(label, recipe, needs={"network.start": "source only, two resolutions"}, base=base)


BEST_FOUR = ("daformer", "daformer_mic", "stct", "dida")


def _fused(label: str, **changes: object) -> StudyRow:
    """An ensemble of the four, whose student goes on from the source-only model, too."""
    members = {f"method.ensemble.members.{name}": name for name in BEST_FOUR}
    needs = {**FROM_SOURCE, **members}
    return StudyRow(label, "ensemble", {"method": {"ensemble": changes}}, needs=needs)


STUDIES: dict[str, Study] = {
    "campaign": Study(
        question="What does each piece bring to a model that was trained on the source?",
        paper="those of the recipes",
        baseline="daformer",
        tables={
            "references": (
                StudyRow("source only", "source_only"),
                onward("source only, as long", "source_only"),
                StudyRow("oracle", "target_supervised"),
            ),
            "self-training": (
                onward("dacs"),
                onward("daformer"),
                onward("daformer_mic"),
                onward("no coordination", "stct", base="source only, as long", method=PLAIN),
                onward("stct", base="no coordination"),  # not daformer, as it does not mix pictures
                onward("stct_mha", base="stct"),  # of networks with attention
                onward("dida"),
                onward("ssr"),
                onward("dida_ssr"),
                onward("daformer_fda"),
                onward("sac", base="source only, as long"),  # which does not mix pictures either
            ),
            "rounds": (
                onward("cbst", base="source only, as long"),
                onward("crst", base="cbst"),
            ),
            "aligned, then labelled": (
                TWO_PREDICTIONS,
                StudyRow("rmrnet", "rmrnet", needs=FROM_TWO_PREDICTIONS, base=TWO_PREDICTIONS.label),
                onward("undoing"),
                onward("pit"),
            ),
            "two resolutions": (
                StudyRow("source only, two resolutions", "source_only", TWO_RESOLUTIONS),
                StudyRow("oracle, two resolutions", "target_supervised", TWO_RESOLUTIONS),
                _finer("hrda", "hrda"),
                _finer("mic", "mic", base="hrda"),
            ),
            # Of pairs that have a large network and one of the same kind with fewer blocks.
            "a small student of a large teacher": (
                StudyRow("source only, large", "source_only", size="large"),
                _sized("large teacher", "daformer", "large"),
                StudyRow("source only, distilled", "source_only", size="distilled"),
                _sized("small student alone", "daformer", "distilled"),
                _sized("kd", "kd", "distilled", base="small student alone", model="large teacher"),
                _sized("clda", "clda", "distilled", base="kd", model="large teacher"),
            ),
            "ensembles of daformer, daformer_mic, stct and dida": (
                _fused("channel", kind="channel"),
                _fused("majority", kind="pixel"),
                _fused("mean probability", kind="average"),
            ),
        },
    ),
    "self_training_rounds": Study(
        question="What do rounds of self-training bring, and what keeps them from confirming their own mistakes?",
        paper="CBST, CRST",
        baseline="cbst",
        tables={
            "main": (
                StudyRow("source only", "source_only", published=33.4),
                onward("cbst", published=45.9),
                onward("cbst_sp"),
                onward("crst", published=47.1),
                onward("crst_lrent"),
            ),
            "regularisers": (
                onward("crst", published=47.1),
                onward("crst entropy", "crst", terms={"confidence": {"kind": "entropy"}}),
                onward("crst squares", "crst", terms={"confidence": {"kind": "squares"}}),
            ),
            "pieces": (
                onward("cbst", published=45.9),
                onward("moving statistics", "cbst", method={"frozen_statistics": False}),
                onward("no mining", "cbst", method={"rounds": {"mine": 0.0}}),
                onward("one scale", "cbst", data={"scale": [1.0, 1.0]}),
                onward("labels of one look", "cbst", method={"rounds": {"flip": False, "scales": [1.0]}}),
                onward("the source's rate", "cbst", method={"rounds": {"rate": 1.0}}),
                onward(
                    "half the source", "cbst", method={"rounds": {"source_portion": 0.5, "source_most": 0.5}}
                ),
            ),
        },
    ),
    "adversarial": ADVERSARIAL,
    "pseudo_labels": PSEUDO_LABELS,
    "ensemble": ENSEMBLE,
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
            "equation 4: what the student sees of the target": (CLDA, _taught("as it is", "clda_plain")),
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
                StudyRow("dida_paper", "dida_paper"),
                StudyRow("dida_official_code", "dida_official_code"),
                SSR,
                StudyRow("ssr_mic", "ssr_mic", published=70.6),
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
                _bank("tau 0, argmax", temperature=0.0),
                _bank("tau 0.05", temperature=0.05),
                DIDA,
                _bank("tau 0.5", temperature=0.5),
                _bank("tau 1", temperature=1.0),
            ),
            "instances": tuple(_bank(f"K {size}", size=size) for size in (100, 150, 200, 250, 300)),
            "ours: when the loss begins, and where it counts": (
                DAFORMER,
                DIDA,
                _bank("begins early", warmup=1500 / 40000),
                _bank("begins early, trusted", warmup=1500 / 40000, region="trusted"),
                _bank("all pixels", region="all"),
            ),
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
                StudyRow("source_only", "source_only"),
                StudyRow("adabn", "adabn"),
                StudyRow("dacs", "dacs", published=52.1),
                StudyRow("daformer", "daformer", published=68.3),
                StudyRow("daformer_mic", "daformer_mic", published=70.6),
                StudyRow("hrda", "hrda", published=73.8),
                StudyRow("mic", "mic", published=75.9),
                StudyRow("target_supervised", "target_supervised"),
            )
        },
    ),
    "stct_mha": Study(
        question="Does coordination help self-training, and hybrid attention coordination?",
        paper="STCT + MHA",
        baseline="alpha 0",
        tables={
            "main": (
                ALPHA_0,
                UNCOORDINATED,
                STCT,
                FULL,
                StudyRow("source only", "source_only"),  # whose model the next two start from
                StudyRow("from source only", "stct_mha", published=69.18, needs=FROM_SOURCE),
                StudyRow(
                    "from source only, no coordination",
                    "stct_mha",
                    {"method": PLAIN},
                    published=67.06,
                    needs=FROM_SOURCE,
                ),
            )
        },
    ),
    "stct_mha_ablations": Study(
        question="When to align, and how?",
        paper="STCT + MHA",
        baseline="STCT",
        tables={
            "figure 4: alpha": (
                ALPHA_0,
                _coordinate("alpha 5e-5", alpha=5e-5),
                _coordinate("alpha 1e-4", alpha=1e-4),
                STCT,
                _coordinate("alpha 5e-4", alpha=5e-4),
                _coordinate("alpha 1e-3", alpha=1e-3),
                UNCOORDINATED,
            ),
            "section 3.1: other ways to coordinate": (
                STCT,
                _coordinate("accuracy only", mode="accuracy"),
                _coordinate("time only", mode="time"),
                *(
                    _coordinate(f"threshold {share}", mode="threshold", threshold=share)
                    for share in (0.5, 0.7, 0.9)
                ),
            ),
            "section 3.3.2: share of the other domain's keys": (
                *(
                    StudyRow(f"inter share {share}", "stct_mha", _pair(inter_share=share))
                    for share in (0.1, 0.3)
                ),
                FULL,
                *(
                    StudyRow(f"inter share {share}", "stct_mha", _pair(inter_share=share))
                    for share in (0.7, 0.9)
                ),
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
                StudyRow("no groups", "stct_mha", _pair(grouping="none"), 61.91),
                StudyRow("random", "stct_mha", _pair(grouping="random"), 63.37),
                StudyRow("HVH", "stct_mha", _pair(grouping="hvh"), 64.55),
                StudyRow("HVR", "stct_mha", _pair(grouping="hvr"), 64.93),
                StudyRow("cutout", "stct_mha", _pair(grouping="cutout"), 65.07),
                FULL,
            ),
            "table 2: scattered classes": (
                FULL,
                StudyRow("1 scattered", "stct_mha", _pair(scattered=1), 67.65),
                StudyRow("4 scattered", "stct_mha", _pair(scattered=4), 65.94),
                StudyRow("8 scattered", "stct_mha", _pair(scattered=8), 65.83),
                StudyRow("12 scattered", "stct_mha", _pair(scattered=12), 64.58),
                StudyRow("14 scattered", "stct_mha", _pair(scattered=14), 63.37),
            ),
            "table 2: direction": (
                STCT,
                StudyRow("S2T", "stct_mha", _pair(direction="s2t"), 55.91),
                StudyRow("T2S", "stct_mha", _pair(direction="t2s"), 58.38),
                FULL,
            ),
        },
    ),
}
"""Studies by name."""
