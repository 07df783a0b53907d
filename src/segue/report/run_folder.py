"""A run folder, read without torch; the run may have finished, be still training, or have been killed."""

import json
import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from segue.classes import Colour, completed
from segue.engine.log import elapsed
from segue.evaluation import evidence
from segue.report.target_pictures import inside, read_target_pictures
from segue.scores import Scores

LogRow = dict[str, float]
"""One line of a log: numbers by name, "step" among them."""


@dataclass(frozen=True)
class EvaluatedPicture:
    """One picture of the evaluation; a file that is missing or lies outside the run folder is None."""

    name: str
    image: Path | None
    label: Path | None
    prediction: Path | None
    mean_iou: float | None


class RunFolder:
    """What one run folder holds; what is not there is None or empty.

    A killed run leaves half a line in its logs, so unreadable lines are counted and skipped. A step that was
    logged again after a resume counts once, with its last values.

    Attributes:
        metrics: Logged steps in order; values that are not finite are NaN.
        unread_lines: How many lines of the two logs could not be read.
        seconds: Training time, summed over resumes.
        steps_per_second: The median of what was logged.
        memory_mb: The highest memory that was logged.
        pictures: Of the evaluation, in the order of their list.
        evidence: What was measured without target labels.
        target_pictures: Those that it was measured on.
        views: Sheets of what the student saw, by step.
        progress: Sheets of how target predictions developed, by step.
        card: What the exported model says of itself.
        reads_target_labels: Whether the run was trained on target labels, or they chose its teacher's layers.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If a file other than the logs is damaged; the message names it.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise FileNotFoundError(
                f"no run folder {path}: give a folder that `segue train --out` has written"
            )
        self.path = path
        self.name = path.resolve().name
        self.experiment: dict[str, Any] = (
            _read(path / "experiment.yaml", yaml.safe_load, dict, "mapping") or {}
        )
        metrics, unread_metrics = _log(path / "metrics.jsonl")
        timing, unread_timing = _log(path / "timing.jsonl")
        last = {row["step"]: row for row in metrics}
        self.metrics = [last[step] for step in sorted(last)]
        self.unread_lines = unread_metrics + unread_timing
        self.seconds = elapsed(_finite(timing, "seconds")) or None
        rates = _finite(timing, "steps_per_second")
        self.steps_per_second = statistics.median_high(rates) if rates else None
        self.memory_mb = max(_finite(timing, "memory_mb"), default=0.0) or None
        scores = _object(path / "scores.json")
        self.scores = None if scores is None else Scores.from_json(scores, path / "scores.json")
        source = (scores or {}).get("source_evaluation")
        self.source_scores = None if source is None else Scores.from_json(source, path / "scores.json")
        self.pictures = _pictures(path)
        self.evidence = evidence.read(path)
        self.target_pictures = read_target_pictures(path)
        self.views = _sheets(path, Path("pictures", "views"))
        self.progress = _sheets(path, evidence.PROGRESS)
        self.card = _object(path / "model" / "card.json") or {}
        saliency = (_object(path / "teacher_layers.json") or {}).get("saliency") or {}
        self.reads_target_labels = saliency.get("against") == "truth" or bool(
            self.experiment.get("reads_target_labels")
        )

    @property
    def trained_on_few(self) -> bool:
        """Whether it was given a few labelled target pictures to train on."""
        data = self.experiment.get("data")
        return isinstance(data, dict) and bool(cast(dict[str, Any], data).get("few"))

    @property
    def planned_steps(self) -> int | None:
        """How many steps the configuration asks for."""
        steps = self.experiment.get("steps")
        return steps if isinstance(steps, int) else None

    @property
    def last_step(self) -> int | None:
        """The last logged step, counted from zero."""
        return int(self.metrics[-1]["step"]) if self.metrics else None

    @property
    def is_unfinished(self) -> bool:
        """Whether the log ends more than one logging interval before the planned end."""
        if self.planned_steps is None or self.last_step is None:
            return False
        interval = self.last_step - int(self.metrics[-2]["step"]) if len(self.metrics) > 1 else 1
        return self.last_step + interval < self.planned_steps

    @property
    def palette(self) -> dict[str, Colour]:
        """The colour of every class that the model's card or the scores name, in the card's order."""
        scored = self.scores.per_class_iou if self.scores else {}
        recorded = self.evidence.classes if self.evidence else []
        known = dict.fromkeys([*map(str, self.card.get("classes") or []), *recorded, *scored])
        names = list(known)[:255]
        given = [_colour(value) for value in self.card.get("colours") or []][: len(names)]
        return dict(zip(names, completed([*given, *[None] * (len(names) - len(given))]), strict=True))


def _read(path: Path, parse: Callable[[str], Any], kind: type, called: str) -> Any:
    """A file's parsed content, which has to be of the given kind; None if there is no such file."""
    if not path.is_file():
        return None
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except (ValueError, yaml.YAMLError) as error:
        raise _damaged(path, f"cannot be read ({' '.join(str(error).split())})") from error
    if not isinstance(content, kind):
        raise _damaged(path, f"holds no {called}")
    return content


def _damaged(path: Path, how: str) -> ValueError:
    return ValueError(f"{path} {how}: restore it, or remove it to report without it")


def _object(path: Path) -> dict[str, Any] | None:
    return _read(path, json.loads, dict, "JSON object")


def _log(path: Path) -> tuple[list[LogRow], int]:
    """All readable lines that state a step, and how many other lines there are."""
    if not path.is_file():
        return [], 0
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    rows = [_log_row(line) for line in lines if line.strip()]
    return [row for row in rows if row is not None], rows.count(None)


def _log_row(line: str) -> LogRow | None:
    try:
        content = json.loads(line)
    except ValueError:
        return None
    entries = cast(dict[str, Any], content).items() if isinstance(content, dict) else ()
    row = {key: parsed for key, value in entries if (parsed := _number(value)) is not None}
    return row if 0 <= row.get("step", math.nan) < 2**53 else None


def _number(value: object) -> float | None:
    """A number as float, NaN if it is not finite; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else math.nan


def _finite(rows: list[LogRow], name: str) -> list[float]:
    return [row[name] for row in rows if math.isfinite(row.get(name, math.nan))]


def _pictures(folder: Path) -> list[EvaluatedPicture]:
    path = folder / "pictures" / "evaluation" / "index.json"
    entries = _read(path, json.loads, list, "JSON list") or []
    if not all(isinstance(entry, dict) for entry in entries):
        raise _damaged(path, "lists something other than objects")
    return [_picture(folder, entry) for entry in entries]


def _picture(folder: Path, entry: Mapping[str, Any]) -> EvaluatedPicture:
    score = _number(entry.get("mean_iou"))
    return EvaluatedPicture(
        name=str(entry.get("name", "")),
        image=inside(folder, entry.get("image")),
        label=inside(folder, entry.get("label")),
        prediction=inside(folder, entry.get("prediction")),
        mean_iou=None if score is None or math.isnan(score) else score,
    )


def _sheets(folder: Path, below: Path) -> dict[int, Path]:
    """The pictures below a run folder that are called by their steps, in order."""
    drawn = (path.relative_to(folder) for path in (folder / below).glob("*.png"))
    sheets = {int(path.stem): inside(folder, str(path)) for path in drawn if path.stem.isdecimal()}
    return {step: path for step, path in sorted(sheets.items()) if path is not None}


def _colour(value: object) -> Colour | None:
    parts = cast(list[Any], value) if isinstance(value, list) else []
    if len(parts) != 3 or not all(isinstance(part, int) and 0 <= part <= 255 for part in parts):
        return None
    return parts[0], parts[1], parts[2]
