"""The tables of the page: classes, what is known of every run, settings that differ, and protocols."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from segue.classes import Colour
from segue.report.formatting import ABSENT, count, dotted_texts, duration, significant
from segue.report.roles import ShownRun, judged_run
from segue.report.run_folder import RunFolder


@dataclass(frozen=True)
class ClassRow:
    """One class; None where it was nowhere labelled.

    Attributes:
        changes: From the first run, one for each run; None for the first.
    """

    name: str
    colour: Colour
    ious: list[float | None]
    changes: list[float | None]


def class_table(runs: Sequence[ShownRun]) -> list[ClassRow]:
    """A row for each class of any run."""
    palette: dict[str, Colour] = {}
    for run in runs:
        palette |= {name: c for name, c in run.folder.palette.items() if name not in palette}
    scored = {name for run in runs for name in run.ious}
    return [_row(name, palette[name], runs) for name in palette if name in scored]


def widest_change(rows: Sequence[ClassRow]) -> float:
    """The largest change in the table, in [0, 1], to which its bars are scaled; 1 if nothing moved."""
    return max((abs(change) for row in rows for change in row.changes if change is not None), default=0) or 1


def _row(name: str, colour: Colour, runs: Sequence[ShownRun]) -> ClassRow:
    ious = [run.ious.get(name) for run in runs]
    first = ious[0]
    changes = [None if first is None or iou is None else iou - first for iou in ious[1:]]
    return ClassRow(name, colour, ious, [None, *changes])


def subtitle(runs: Sequence[ShownRun]) -> list[str]:
    """What the judged run is, in a few words each: recipe, network, data, steps."""
    folder = judged_run(runs).folder
    known = _details(folder)
    words = [known[name] for name in ("recipe", "network", "data") if name in known]
    return words + ([f"{count(folder.planned_steps)} steps"] if folder.planned_steps else [])


def run_details(runs: Sequence[ShownRun]) -> dict[str, list[str]]:
    """Each run's value by name; what is known of no run is left out."""
    columns = [_details(run.folder) for run in runs]
    names = dict.fromkeys(name for column in columns for name in column)
    return {name: [column.get(name, ABSENT) for column in columns] for name in names}


def differing_settings(runs: Sequence[ShownRun]) -> dict[str, list[str]]:
    """Each run's value of every setting that differs between runs."""
    trees = [run.folder.experiment for run in runs]
    flattened = [dict(dotted_texts(tree)) for tree in trees]
    return {key: [mapping.get(key, "—") for mapping in flattened] for key in differing_keys(trees)}


def differing_keys(trees: Sequence[Mapping[str, Any]]) -> list[str]:
    """The dotted keys whose values differ between nested mappings."""
    flattened = [dict(dotted_texts(tree)) for tree in trees]
    keys = dict.fromkeys(key for mapping in flattened for key in mapping)
    return [key for key in keys if len({mapping.get(key) for mapping in flattened}) > 1]


def protocols(runs: Sequence[ShownRun]) -> list[tuple[str, dict[str, str]]]:
    """How the scores were measured, by run; one entry without a name if all were measured alike."""
    named = [
        (run.name, {**dict(dotted_texts(run.scores.protocol)), "pixels": count(run.scores.pixels)})
        for run in runs
        if run.scores
    ]
    alike = named and all(protocol == named[0][1] for _, protocol in named)
    return [("", named[0][1])] if alike else named


def _details(folder: RunFolder) -> dict[str, str]:
    tree, speed = folder.experiment, folder.steps_per_second
    versions = folder.card.get("versions")
    texts = {
        "recipe": _text(tree.get("recipe")),
        "network": _joined(tree.get("network"), ("encoder", "head")),
        "data": _joined(tree.get("data"), ("pair",)),
        "seed": _text(tree.get("seed")),
        "steps": _steps(folder),
        "training time": duration(folder.seconds) if folder.seconds else "",
        "speed": f"{significant(speed)} steps a second" if speed else "",
        "peak memory": f"{count(folder.memory_mb)} MB" if folder.memory_mb else "",
        "classes": str(len(folder.palette)) if folder.palette else "",
        **dict(dotted_texts(cast(dict[str, Any], versions) if isinstance(versions, dict) else {})),
    }
    return {name: text for name, text in texts.items() if text}


def _steps(folder: RunFolder) -> str:
    if folder.last_step is None:
        return f"{count(folder.planned_steps)} planned" if folder.planned_steps else ""
    if folder.planned_steps is None:
        return f"at least {count(folder.last_step)}"
    if folder.is_unfinished:
        return f"{count(folder.last_step)} of {count(folder.planned_steps)}"
    return count(folder.planned_steps)


def _text(value: object) -> str:
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _joined(value: object, keys: Sequence[str]) -> str:
    inner = cast(Mapping[str, object], value) if isinstance(value, Mapping) else {}
    return " + ".join(text for key in keys if (text := _text(inner.get(key))))
