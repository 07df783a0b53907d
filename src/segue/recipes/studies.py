"""Studies: tables of variants that are compared; the built-in ones stand beside the numbers of their papers.

A study of one's own is a YAML file:

    question: Does more masking help here?
    baseline: daformer                      # the row that the others are compared with
    rows:                                   # or tables: {a title: [rows], another: [rows]}
      - {label: start, recipe: source_only}
      - {label: daformer, recipe: daformer, needs: {network.start: start}}
      - label: more
        recipe: daformer_mic
        needs: {network.start: start}       # the run of that row, of the same seed
        changes: {method: {mask: {share: 0.9}}}
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from segue.classes import nearest
from segue.recipes import catalogue
from segue.recipes.catalogue import Size
from segue.trees import Tree, read_yaml

PAPERS_PAIR = "gta5_to_cityscapes"
"""The pair of the numbers that stand in these tables."""


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        label: What the line is called.
        recipe: The recipe it is run with.
        changes: What differs from the recipe.
        published: What the paper prints for it, mean IoU in percent on GTA5 to Cityscapes, or on the pair that
            :meth:`on` was called with; None if nothing.
        needs: Settings that are another row's run folder, of the same seed, by that row's label.
        size: Whether the network is the pair's large one or the one that is distilled into; None for the recipe's.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    label: str
    recipe: str
    changes: Tree = field(default_factory=dict[str, object])
    published: float | None = None
    needs: Mapping[str, str] = field(default_factory=dict[str, str])
    size: Size | None = None

    def on(self, pair: str) -> "Row":
        """The same row with what is printed for it on another pair: a recipe as it is may have a number there."""
        if pair == PAPERS_PAIR:
            return self
        altered = self.changes or self.needs or self.size
        printed = None if altered else catalogue.find(self.recipe).rows.get(pair)
        return replace(self, published=None if printed is None else printed.mean)


@dataclass(frozen=True)
class Study:
    """Tables of one paper.

    Attributes:
        question: What it answers.
        paper: Whose numbers stand beside ours.
        baseline: The label of the row that the others are compared with.
        tables: Rows by the table's title; a row in several tables is run once.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    question: str
    paper: str
    baseline: str
    tables: Mapping[str, tuple[Row, ...]]

    @property
    def rows(self) -> dict[str, Row]:
        """All rows by their labels."""
        return {row.label: row for rows in self.tables.values() for row in rows}

    def on(self, pair: str) -> "Study":
        """The same study with what is printed on a pair; rows of which nothing is printed there have no number."""
        tables = {title: tuple(row.on(pair) for row in rows) for title, rows in self.tables.items()}
        return replace(self, tables=tables)


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


def read(path: Path) -> Study:
    """The study in a YAML file.

    Raises:
        ValueError: If it is none: unknown keys, recipes or labels, or a label that means two rows.
        FileNotFoundError: If there is no such file.
    """
    tree: dict[str, Any] = {"question": path.stem, "paper": "-"} | read_yaml(path)
    if "rows" in tree:
        tree["tables"] = {"rows": tree.pop("rows")} | tree.get("tables", {})
    try:
        study = TypeAdapter(Study).validate_python(tree)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    for row in (row for rows in study.tables.values() for row in rows):
        if study.rows[row.label] != row:
            raise ValueError(f"{path}: two different rows are called {row.label!r}")
        catalogue.find(row.recipe)
        for label in row.needs.values():
            _check_label(path, f"needs of {row.label!r}", label, study)
    _check_label(path, "baseline", study.baseline, study)
    return study


def _check_label(path: Path, where: str, label: str, study: Study) -> None:
    if label not in study.rows:
        raise ValueError(f"{path}: {where}: no row {label!r}{nearest(label, list(study.rows))}")


def _pair(**changes: object) -> Tree:
    return {"method": {"pair": changes}}


def _stages(*stages: int, published: float) -> Row:
    named = "+".join(str(stage) for stage in stages)
    return Row(f"stages {named}", "stct_mha", _pair(stages=list(stages)), published)


def _coordinate(label: str, published: float | None = None, **changes: object) -> Row:
    return Row(label, "stct", {"method": {"coordinate": changes}}, published)


STCT = Row("STCT", "stct", published=56.65)  # alpha 2e-4
FULL = Row("STCT + MHA", "stct_mha", published=68.05)  # an inter share of one half
# The paper's source-only training: the same run, in which the target's loss counts nothing from start to end.
ALPHA_0 = _coordinate("alpha 0", 51.37, alpha=0.0)
UNCOORDINATED = _coordinate("no coordination", 54.0, mode="none")
PRETRAINED = {"network.start": "source only"}

DAFORMER = Row("daformer", "daformer", published=68.3)
DIDA = Row("dida", "dida", published=71.0)
SSR = Row("ssr", "ssr", published=69.3)


def _bank(label: str, published: float | None = None, **changes: object) -> Row:
    return Row(label, "dida", {"terms": {"instance_bank": changes}}, published)


def _looking(*stages: int, published: float) -> Row:
    named = "+".join(f"S{stage - 1}" for stage in stages)
    return Row(f"ssr {named}", "ssr", {"terms": {"frozen_regularizer": {"stages": list(stages)}}}, published)


def _taught(label: str, recipe: str, published: float | None = None, **changes: object) -> Row:
    """A row whose teacher is the run of the row "large teacher"."""
    tree: Tree = {"method": {"teacher": changes}} if changes else {}
    return Row(label, recipe, tree, published, {"method.teacher.model": LARGE.label})


LARGE = Row("large teacher", "daformer", published=68.3, size="large")
SMALL = Row("small student alone", "daformer", published=68.1, size="distilled")
CLDA = _taught("clda", "clda", 69.5)


def _rounds(label: str, recipe: str, published: float | None = None, **changes: object) -> Row:
    """A row that begins with the run of the row "source only"."""
    return Row(label, recipe, changes, published, {"network.start": "source only"})


def _onward(label: str, recipe: str, **changes: object) -> Row:
    """A row that goes on from the source-only model of its seed."""
    return Row(label, recipe, changes, needs={"network.start": "source only"})


BEST_FOUR = ("daformer", "daformer_mic", "stct", "dida")


def _fused(label: str, **changes: object) -> Row:
    """An ensemble of the four, whose student goes on from the source-only model, too."""
    members = {f"method.ensemble.members.{name}": name for name in BEST_FOUR}
    needs = {"network.start": "source only", **members}
    return Row(label, "ensemble", {"method": {"ensemble": changes}}, needs=needs)


STUDIES: dict[str, Study] = {
    "campaign": Study(
        question="What does each piece bring to a model that was trained on the source?",
        paper="those of the recipes",
        baseline="daformer",
        tables={
            "references": (
                Row("source only", "source_only"),
                _onward("source only, as long", "source_only"),
                Row("oracle", "target_supervised"),
            ),
            "self-training": (
                _onward("dacs", "dacs"),
                _onward("daformer", "daformer"),
                _onward("daformer_mic", "daformer_mic"),
                _onward("stct", "stct"),
                _onward("stct_mha", "stct_mha"),  # of networks with attention
                _onward("dida", "dida"),
                _onward("ssr", "ssr"),
                _onward("dida_ssr", "dida_ssr"),
            ),
            "rounds": (_onward("cbst", "cbst"), _onward("crst", "crst")),
            "two resolutions, from their own start": (Row("hrda", "hrda"), Row("mic", "mic")),
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
                Row("source only", "source_only", published=33.4),
                _rounds("cbst", "cbst", 45.9),
                _rounds("cbst_sp", "cbst_sp"),
                _rounds("crst", "crst", 47.1),
                _rounds("crst_lrent", "crst_lrent"),
            ),
            "regularisers": (
                _rounds("crst", "crst", 47.1),
                _rounds("crst entropy", "crst", terms={"confidence": {"kind": "entropy"}}),
                _rounds("crst squares", "crst", terms={"confidence": {"kind": "squares"}}),
            ),
            "pieces": (
                _rounds("cbst", "cbst", 45.9),
                _rounds("moving statistics", "cbst", method={"frozen_statistics": False}),
                _rounds("no mining", "cbst", method={"rounds": {"mine": 0.0}}),
                _rounds("one scale", "cbst", data={"scale": [1.0, 1.0]}),
                _rounds("labels of one look", "cbst", method={"rounds": {"flip": False, "scales": [1.0]}}),
                _rounds("the source's rate", "cbst", method={"rounds": {"rate": 1.0}}),
                _rounds(
                    "half the source", "cbst", method={"rounds": {"source_portion": 0.5, "source_most": 0.5}}
                ),
            ),
        },
    ),
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
        baseline="alpha 0",
        tables={
            "main": (
                ALPHA_0,
                UNCOORDINATED,
                STCT,
                FULL,
                Row("source only", "source_only"),  # whose model the next two start from
                Row("from source only", "stct_mha", published=69.18, needs=PRETRAINED),
                Row(
                    "from source only, no coordination",
                    "stct_mha",
                    {"method": {"coordinate": {"mode": "none"}}},
                    published=67.06,
                    needs=PRETRAINED,
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
                *(Row(f"inter share {share}", "stct_mha", _pair(inter_share=share)) for share in (0.1, 0.3)),
                FULL,
                *(Row(f"inter share {share}", "stct_mha", _pair(inter_share=share)) for share in (0.7, 0.9)),
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
