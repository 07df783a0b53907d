"""What a run folder says, read without torch; also of a run that is still training or was killed."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from segue.classes import Colour, distinct_colour
from segue.report.reading import Row, number, read_json, read_lines, read_object
from segue.report.scores import Scores, read_scores


@dataclass(frozen=True)
class EvaluationPicture:
    """One evaluated picture; a file that is missing or lies outside the run folder is None."""

    name: str
    image: Path | None
    label: Path | None
    prediction: Path | None
    mean_iou: float | None


class RunFolder:
    """One run, as far as its folder tells.

    What is not there is None or empty. Of the two line-wise logs, lines that cannot be read (a killed run
    leaves half a line) are counted and skipped; a step that was logged again after a resume counts once, with
    its last values. A damaged experiment.yaml, scores.json, list of pictures or card.json is a ValueError
    that names the file.

    Attributes:
        path: The folder.
        name: The folder's name.
        experiment: The whole configuration.
        metrics: Logged steps in order; values that are not finite are NaN.
        unread_lines: How many lines of the logs could not be read.
        seconds: Training time, summed over resumes.
        steps_per_second: The median speed.
        memory_mb: The highest memory that was logged.
        scores: The evaluation on the target.
        evaluation: Evaluated pictures, as listed.
        views: What the student saw, by step.
        card: What the exported model says of itself.
        reads_target_labels: Whether it was trained on target labels, or its teacher's layers were chosen by them.

    Args:
        path: The run's folder.

    Raises:
        FileNotFoundError: If there is no such folder.
    """

    path: Path
    name: str
    experiment: dict[str, Any] | None
    metrics: list[Row]
    unread_lines: int
    seconds: float | None
    steps_per_second: float | None
    memory_mb: float | None
    scores: Scores | None
    evaluation: list[EvaluationPicture]
    views: dict[int, Path]
    card: dict[str, Any] | None
    reads_target_labels: bool

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise FileNotFoundError(
                f"no run folder {self.path}: give a folder that `segue train --out` wrote"
            )
        self.name = self.path.resolve().name
        self.experiment = _experiment(self.path / "experiment.yaml")
        logged, unread = read_lines(self.path / "metrics.jsonl")
        self.metrics = _last_per_step(logged)
        timing, unread_timing = read_lines(self.path / "timing.jsonl")
        self.unread_lines = unread + unread_timing
        self.seconds = _elapsed(timing)
        self.steps_per_second = _median(
            row["steps_per_second"] for row in timing if "steps_per_second" in row
        )
        self.memory_mb = max(
            (row["memory_mb"] for row in timing if row.get("memory_mb", 0) > 0), default=None
        )
        self.scores = read_scores(self.path / "scores.json")
        self.evaluation = _evaluation(self.path)
        self.views = _views(self.path)
        self.card = read_object(self.path / "model" / "card.json")
        layers = read_object(self.path / "teacher_layers.json") or {}
        by_truth = (layers.get("saliency") or {}).get("against") == "truth"
        self.reads_target_labels = by_truth or bool((self.experiment or {}).get("reads_target_labels"))

    @property
    def planned_steps(self) -> int | None:
        """How many steps the configuration asks for."""
        steps = (self.experiment or {}).get("steps")
        return steps if isinstance(steps, int) else None

    @property
    def last_step(self) -> int | None:
        """The last logged step."""
        return int(self.metrics[-1]["step"]) if self.metrics else None

    @property
    def is_unfinished(self) -> bool:
        """Whether the log ends more than one logging interval before the planned end."""
        if self.planned_steps is None or self.last_step is None:
            return False
        steps = [int(row["step"]) for row in self.metrics]
        interval = steps[-1] - steps[-2] if len(steps) > 1 else 1
        return steps[-1] + interval < self.planned_steps

    @property
    def palette(self) -> dict[str, Colour]:
        """The colour of every class that the model's card or the scores name, in the card's order."""
        card = self.card or {}
        names = [str(name) for name in card.get("classes") or []]
        names += [name for name in (self.scores.per_class_iou if self.scores else {}) if name not in names]
        given = list(card.get("colours") or [])
        return {
            name: _colour(given[i] if i < len(given) else None) or distinct_colour(i)
            for i, name in enumerate(names[:255])
        }


def _experiment(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = " ".join(str(error).split())
        raise ValueError(
            f"{path} is not YAML ({where}): restore it, or remove it to report without it"
        ) from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no mapping: restore it, or remove it to report without it")
    return {str(key): value for key, value in cast(dict[Any, Any], found).items()}


def _last_per_step(rows: list[Row]) -> list[Row]:
    by_step = {row["step"]: row for row in rows}
    return [by_step[step] for step in sorted(by_step)]


def _elapsed(timing: list[Row]) -> float | None:
    """The clock may start anew with a resume, so what each stretch added is summed."""
    total, before = 0.0, 0.0
    for row in timing:
        now = row.get("seconds", before)
        total += now - before if now >= before else now
        before = now
    return total or None


def _median(values: Iterable[float]) -> float | None:
    ordered = sorted(value for value in values if math.isfinite(value))
    return ordered[len(ordered) // 2] if ordered else None


def _evaluation(folder: Path) -> list[EvaluationPicture]:
    path = folder / "pictures" / "evaluation" / "index.json"
    found = read_json(path)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in cast(list[Any], found)):
        raise ValueError(f"{path} holds no list of objects: have it written anew, or remove it")
    return [_picture(folder, entry) for entry in cast(list[dict[str, Any]], found)]


def _picture(folder: Path, entry: Mapping[str, Any]) -> EvaluationPicture:
    score = number(entry.get("mean_iou"))
    return EvaluationPicture(
        name=str(entry.get("name", "")),
        image=_inside(folder, entry.get("image")),
        label=_inside(folder, entry.get("label")),
        prediction=_inside(folder, entry.get("prediction")),
        mean_iou=None if score is None or math.isnan(score) else score,
    )


def _inside(folder: Path, relative: object) -> Path | None:
    """A run folder may come from a stranger: what it names must not pull other files into the page."""
    if not isinstance(relative, str) or not relative:
        return None
    path = (folder / relative).resolve()
    return path if path.is_relative_to(folder.resolve()) and path.is_file() else None


def _views(folder: Path) -> dict[int, Path]:
    drawn = (path.relative_to(folder) for path in (folder / "pictures" / "views").glob("*.png"))
    found = {int(path.stem): _inside(folder, str(path)) for path in drawn if path.stem.isdecimal()}
    return {step: path for step, path in sorted(found.items()) if path is not None}


def _colour(value: object) -> Colour | None:
    parts = cast(list[Any], value) if isinstance(value, list) else []
    if len(parts) != 3 or not all(isinstance(part, int) and 0 <= part <= 255 for part in parts):
        return None
    return parts[0], parts[1], parts[2]
