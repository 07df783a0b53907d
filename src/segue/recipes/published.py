"""Scores that papers print, as data: ``published.yaml`` beside this file, read and checked."""

from functools import cache
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from segue.classes import CITYSCAPES_19, SUBSETS, nearest
from segue.trees import read_yaml

FILE = Path(__file__).with_suffix(".yaml")

Percent = Annotated[float, Field(ge=0.0, le=100.0)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Citation(_Record):
    """Where a row is printed: a paper of the file's list, its table, and the method's name there."""

    paper: str
    table: int | None = None
    label: str | None = None


class Correction(_Record):
    """A misprinted cell: what a paper prints for a class, and why another value is right."""

    class_: str = Field(alias="class")
    printed: Percent
    paper: str
    why: str


class PublishedRow(_Record):
    """What one method scores on one pair, in percent.

    Attributes:
        key: The name that recipes use; it has at most one row per pair.
        method: Our name for the method.
        network: What was measured; None where that is not stated.
        pair: As built-in pairs are called.
        iou: The cells in the order of Cityscapes' 19 classes, None where the pair's labels lack a class; None
            altogether where only a mean is known.
        means: Printed means by the classes they are over: a name in ``segue.classes.SUBSETS``, or "all". The
            first is the one that is usually quoted.
        recomputed: The mean of the cells, where it differs from the printed one by more than rounding.
        note: What else a reader must know.
    """

    key: str
    method: str
    network: str | None = None
    pair: str
    iou: tuple[Percent | None, ...] | None = None
    means: dict[str, Percent] = Field(min_length=1)
    sources: tuple[Citation, ...] = Field(min_length=1)
    corrected: Correction | None = None
    recomputed: Percent | None = None
    note: str | None = None

    @model_validator(mode="after")
    def _fits_the_classes(self) -> Self:
        if self.iou is not None and len(self.iou) != len(CITYSCAPES_19):
            raise ValueError(f"{len(self.iou)} cells for {len(CITYSCAPES_19)} classes")
        for name in self.means:
            if name not in ("all", *SUBSETS):
                raise ValueError(f"unknown mean {name!r}{nearest(name, ['all', *SUBSETS])}")
        if self.corrected is not None:
            CITYSCAPES_19.index(self.corrected.class_)
        return self

    @property
    def mean(self) -> float:
        """The mean that is usually quoted."""
        return next(iter(self.means.values()))

    @property
    def per_class(self) -> dict[str, float | None]:
        """The cells by class name; empty where only a mean is known."""
        return {} if self.iou is None else dict(zip(CITYSCAPES_19.names, self.iou, strict=True))


class Published(_Record):
    """The whole file.

    Attributes:
        classes: The order of the cells.
        papers: Title or authors, by the name that sources use.
    """

    classes: tuple[str, ...]
    papers: dict[str, str]
    rows: tuple[PublishedRow, ...]

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if self.classes != CITYSCAPES_19.names:
            raise ValueError("classes are not Cityscapes' 19 in their order")
        seen: set[tuple[str, str]] = set()
        for row in self.rows:
            if (row.key, row.pair) in seen:
                raise ValueError(f"{row.key} has two rows on {row.pair}: give one another key")
            seen.add((row.key, row.pair))
            papers = [source.paper for source in row.sources]
            papers += [] if row.corrected is None else [row.corrected.paper]
            for paper in papers:
                if paper not in self.papers:
                    raise ValueError(f"{row.key}: unknown paper {paper!r}{nearest(paper, list(self.papers))}")
        return self

    def of(self, key: str) -> dict[str, PublishedRow]:
        """The rows of a key, by pair.

        Raises:
            ValueError: If there is no such key; the message names the nearest one.
        """
        rows = {row.pair: row for row in self.rows if row.key == key}
        if not rows:
            raise ValueError(f"unknown published row {key!r}{nearest(key, [row.key for row in self.rows])}")
        return rows


def read(path: Path) -> Published:
    """Read and check a file of published rows.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not YAML, a row is wrong or has another number of cells than there are classes, a key
            has two rows on one pair, or a paper is not in the list.
    """
    try:
        return Published.model_validate(read_yaml(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{path}: {where}: {first['msg'].removeprefix('Value error, ')}") from None


@cache
def published() -> Published:
    """The rows that come with the package."""
    return read(FILE)
