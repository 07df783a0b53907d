"""The small print: what was trained, for how long, with which versions, and how it was measured."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from segue.report.formatting import ABSENT, count, duration, flatten, significant
from segue.report.roles import ShownRun, judged_run
from segue.report.run_folder import RunFolder


def subtitle(runs: Sequence[ShownRun]) -> list[str]:
    """What the judged run is, in a few words each: recipe, network, data, steps."""
    folder = judged_run(runs).folder
    known = _details(folder)
    words = [known[name] for name in ("recipe", "network", "data") if name in known]
    return words + ([f"{count(folder.planned_steps)} steps"] if folder.planned_steps else [])


def run_details(runs: Sequence[ShownRun]) -> dict[str, list[str]]:
    """Each run's value by name; what no run knows is left out."""
    columns = [_details(run.folder) for run in runs]
    names = dict.fromkeys(name for column in columns for name in column)
    return {name: [column.get(name, ABSENT) for column in columns] for name in names}


def differing_settings(runs: Sequence[ShownRun]) -> dict[str, list[str]]:
    """Each run's value of every setting that is not the same in all runs."""
    trees = [run.folder.experiment for run in runs]
    flattened = [dict(flatten(tree)) for tree in trees]
    return {key: [mapping.get(key, "—") for mapping in flattened] for key in differing_keys(trees)}


def differing_keys(trees: Sequence[Mapping[str, Any]]) -> list[str]:
    """The dotted keys whose values are not the same in all of some nested mappings."""
    flattened = [dict(flatten(tree)) for tree in trees]
    keys = dict.fromkeys(key for mapping in flattened for key in mapping)
    return [key for key in keys if len({mapping.get(key) for mapping in flattened}) > 1]


def protocols(runs: Sequence[ShownRun]) -> list[tuple[str, dict[str, str]]]:
    """How the scores were measured, by run; one entry without a name if all were measured alike."""
    found = [
        (run.name, {**dict(flatten(run.scores.protocol)), "pixels": count(run.scores.pixels)})
        for run in runs
        if run.scores
    ]
    alike = found and all(protocol == found[0][1] for _, protocol in found)
    return [("", found[0][1])] if alike else found


def _details(folder: RunFolder) -> dict[str, str]:
    tree, speed = folder.experiment, folder.steps_per_second
    versions = folder.card.get("versions")
    found = {
        "recipe": _text(tree.get("recipe")),
        "network": _joined(tree.get("network"), ("encoder", "head")),
        "data": _joined(tree.get("data"), ("pair",)),
        "seed": _text(tree.get("seed")),
        "steps": _steps(folder),
        "training time": duration(folder.seconds) if folder.seconds else "",
        "speed": f"{significant(speed)} steps a second" if speed else "",
        "peak memory": f"{count(folder.memory_mb)} MB" if folder.memory_mb else "",
        "classes": str(len(folder.palette)) if folder.palette else "",
        **dict(flatten(cast(dict[str, Any], versions) if isinstance(versions, dict) else {})),
    }
    return {name: text for name, text in found.items() if text}


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
