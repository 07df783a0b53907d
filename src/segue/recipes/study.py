"""What a study is: tables of variants that are compared, built in or from a YAML file.

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
        base: daformer                      # compared with that row instead
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from segue.classes import nearest
from segue.recipes import catalogue
from segue.recipes.catalogue import Size
from segue.trees import Tree, read_yaml

FROM_SOURCE = {"network.start": "source only"}
"""What a row needs that goes on from the source-only model of its seed."""

PAPERS_PAIR = "gta5_to_cityscapes"
"""The pair of the numbers in these tables."""


@dataclass(frozen=True)
class StudyRow:
    """One line of a table.

    Attributes:
        published: What the paper prints for it, mean IoU in percent on GTA5 to Cityscapes, or on the pair that
            :meth:`on` was called with; None if nothing.
        needs: Settings whose value is another row's run folder, of the same seed, by that row's label.
        size: Whether the network is the pair's large one or the one into which it is distilled; None for the recipe's.
        base: The label of the row that it is compared with; None for the study's baseline.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    label: str
    recipe: str
    changes: Tree = field(default_factory=dict[str, object])
    published: float | None = None
    needs: Mapping[str, str] = field(default_factory=dict[str, str])
    size: Size | None = None
    base: str | None = None

    def on(self, pair: str) -> "StudyRow":
        """The same row with what is printed for it on another pair, which only an unchanged recipe may have."""
        if pair == PAPERS_PAIR:
            return self
        altered = self.changes or self.needs or self.size
        printed = None if altered else catalogue.find(self.recipe).rows.get(pair)
        return replace(self, published=None if printed is None else printed.mean)


def onward(
    label: str,
    recipe: str | None = None,
    published: float | None = None,
    base: str | None = None,
    **changes: object,
) -> StudyRow:
    """A row that goes on from the source-only model of its seed; without a recipe, its label names it."""
    return StudyRow(label, recipe or label, changes, published, FROM_SOURCE, base=base)


@dataclass(frozen=True)
class Study:
    """Tables of one paper.

    Attributes:
        paper: The paper whose numbers stand beside ours.
        baseline: The label of the row that the others are compared with.
        tables: Rows by the table's title; a row in several tables is run once.
        note: What else is published that no row shows; stands below the tables.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    question: str
    paper: str
    baseline: str
    tables: Mapping[str, tuple[StudyRow, ...]]
    note: str = ""

    @property
    def rows(self) -> dict[str, StudyRow]:
        """All rows by their labels."""
        return {row.label: row for rows in self.tables.values() for row in rows}

    def on(self, pair: str) -> "Study":
        """The same study with the numbers printed on a pair; rows without one have none."""
        tables = {title: tuple(row.on(pair) for row in rows) for title, rows in self.tables.items()}
        return replace(self, tables=tables)


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
        if row.base is not None:
            _check_label(path, f"base of {row.label!r}", row.base, study)
    _check_label(path, "baseline", study.baseline, study)
    try:
        TopologicalSorter({label: row.needs.values() for label, row in study.rows.items()}).prepare()
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise ValueError(
            f"{path}: rows need one another: {circle}; one of them has to begin without"
        ) from None
    return study


def _check_label(path: Path, where: str, label: str, study: Study) -> None:
    if label not in study.rows:
        raise ValueError(f"{path}: {where}: no row {label!r}{nearest(label, list(study.rows))}")
