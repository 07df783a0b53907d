"""The record of a study: one JSON file that holds all that the study's tables show."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mpmath
from pydantic import ValidationError

from segue.engine.log import seconds_trained
from segue.files import write_text
from segue.scores import CALLED, Scores
from segue.settings import Settings


class Score(Settings):
    """One finished run; IoU in [0, 1], None for a class that is nowhere labelled.

    Where whole pictures are named, accuracies stand in the place of IoUs.
    """

    mean_iou: float
    measure: str = CALLED["mean_iou"]  # what it is
    classes: dict[str, float | None] = {}
    minutes: float | None = None  # training only


class Fused(Settings):
    """Labels that a run fused, compared on labelled pictures, for measuring only; mean IoU in [0, 1].

    Attributes:
        used: By the run's rules.
        members: Each member alone.
        random: Policies that believe a random member for each class.
        oracle: The policy that believes, for each class, the member that is best on these very labels.
    """

    used: float
    members: dict[str, float]
    majority: float
    random: list[float]
    oracle: float

    @property
    def row(self) -> dict[str, float]:
        """The numbers of a table's line."""
        return {
            "used": self.used,
            "best member": max(self.members.values()),
            "majority": self.majority,
            "random policies": statistics.fmean(self.random),
            "oracle policy": self.oracle,
        }


class Variant(Settings):
    """A row of the study.

    Attributes:
        command: The command that trains this variant alone, with SEED for the seed.
        set_otherwise: The settings that the pair or the user changes from those of the recipe and the row.
        base: The label of the row that this one is compared with; None for the study's baseline.
        published: The paper's mean IoU for these very settings on this pair, in percent.
        scores: The finished runs, by seed.
        fused: What the labels of runs that fuse some were worth, by seed.
        failed: The errors of the runs that failed, by seed.
    """

    recipe: str
    changes: dict[str, Any] = {}
    command: str = ""
    set_otherwise: dict[str, str] = {}
    base: str | None = None
    published: float | None = None
    steps: int
    scores: dict[int, Score] = {}
    fused: dict[int, Fused] = {}
    failed: dict[int, str] = {}

    @property
    def mean(self) -> float | None:
        """Mean IoU, averaged over the finished seeds; None without any."""
        return statistics.fmean(score.mean_iou for score in self.scores.values()) if self.scores else None

    @property
    def spread(self) -> float | None:
        """Standard deviation of the mean IoU over the finished seeds; None for fewer than two."""
        ious = [score.mean_iou for score in self.scores.values()]
        return statistics.stdev(ious) if len(ious) > 1 else None

    @property
    def minutes(self) -> float | None:
        """Minutes of training, averaged over the seeds."""
        known = [score.minutes for score in self.scores.values() if score.minutes]
        return statistics.fmean(known) if known else None

    @property
    def classes(self) -> dict[str, float | None]:
        """IoU of each class, averaged over the seeds in which it has one."""
        names = dict.fromkeys(name for score in self.scores.values() for name in score.classes)
        known = {
            name: [v for s in self.scores.values() if (v := s.classes.get(name)) is not None]
            for name in names
        }
        return {name: statistics.fmean(values) if values else None for name, values in known.items()}

    def against(self, other: "Variant") -> "Difference | None":
        """The difference to another variant over the seeds that both have; None without any."""
        common = sorted(self.scores.keys() & other.scores.keys())
        return paired([self.scores[s].mean_iou - other.scores[s].mean_iou for s in common])


class Record(Settings):
    """A study and its results.

    Attributes:
        command: The command that runs the study.
        note: What else is published; stands below the tables.
        tables: The labels of the variants in each table, by its title.
        variants: By label.
        versions: The libraries' versions, which scores depend on besides the settings.
        machine: The machine, which minutes depend on.
    """

    study: str
    question: str
    paper: str
    pair: str
    baseline: str
    seeds: list[int]
    command: str = ""
    note: str = ""
    tables: dict[str, list[str]]
    variants: dict[str, Variant]
    versions: dict[str, str] = {}
    machine: str = ""

    def write(self, path: Path) -> None:
        """Write the JSON file: a variant a line, numbers to six decimals."""
        content = json.loads(self.model_dump_json(), parse_float=lambda number: round(float(number), 6))
        rows = (f"  {json.dumps(label)}: {json.dumps(row)}" for label, row in content["variants"].items())
        parts = {key: json.dumps(value) for key, value in content.items()}
        parts["variants"] = "{\n" + ",\n".join(rows) + "\n }"
        text = ",\n".join(f' "{key}": {value}' for key, value in parts.items())
        write_text(path, f"{{\n{text}\n}}\n")


def read(path: Path) -> Record:
    """What :meth:`Record.write` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a record; the message names file and key.
    """
    try:
        return Record.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(
            f"{path}: not the record of a study: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        ) from None


class Difference(NamedTuple):
    """A mean difference, and its p-value (two-sided; None for a single pair)."""

    mean: float
    p: float | None


def paired(differences: Sequence[float]) -> Difference | None:
    """Student's paired t-test of equal means; None without differences.

    It assumes normally distributed differences; with as few seeds as studies have, it detects only differences that are
    large compared with their spread.
    """
    if not differences:
        return None
    mean, n = statistics.fmean(differences), len(differences)
    if n == 1:
        return Difference(mean, None)
    error = statistics.stdev(differences) / n**0.5
    if error == 0:
        return Difference(mean, 1.0 if mean == 0 else 0.0)
    t = mean / error
    # The tails of Student's distribution with n - 1 degrees of freedom are an incomplete beta function.
    tails = mpmath.betainc((n - 1) / 2, 0.5, 0, (n - 1) / (n - 1 + t * t), regularized=True)
    return Difference(mean, float(tails))


def score_of(run: Path) -> Score | None:
    """The score in a run folder's ``scores.json``; None if the run is not finished."""
    try:
        scores = json.loads((run / "scores.json").read_text(encoding="utf-8"))
        minutes = round(seconds_trained(run) / 60, 4)
        if "measure" in scores:
            read = Scores.from_json(scores, run)
            return Score(
                mean_iou=read.headline, measure=read.called, classes=read.by_class, minutes=minutes or None
            )
        return Score(mean_iou=scores["mean_iou"], classes=scores["per_class_iou"], minutes=minutes or None)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def fused_of(run: Path) -> Fused | None:
    """What a run's fused labels were worth, from its ``fused/fusion.json``; None if it fused or compared none."""
    try:
        content = json.loads((run / "fused" / "fusion.json").read_text(encoding="utf-8"))["compared"]
        return Fused(**{name: content[name] for name in Fused.model_fields})
    except (OSError, ValueError, KeyError, TypeError):
        return None
