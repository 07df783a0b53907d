"""The small print of a run: what was trained, for how long, with which versions, and how it was measured."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import yaml

from segue.report.lineup import Entry
from segue.report.run_folder import RunFolder
from segue.report.wording import ABSENT, count, duration, flat, significant


def run_facts(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """One row a fact with each run's value; facts that no run knows are left out."""
    columns = [_facts(entry.folder) for entry in entries]
    names = dict.fromkeys(name for column in columns for name in column)
    return {name: [column.get(name, ABSENT) for column in columns] for name in names}


def protocols(entries: Sequence[Entry]) -> list[tuple[str, dict[str, str]]]:
    """How the scores were measured: one entry for all runs if they were measured alike, else one a run."""
    found = [
        (entry.name, _protocol(entry.folder.scores.protocol, entry.folder.scores.pixels))
        for entry in entries
        if entry.folder.scores
    ]
    if found and all(protocol == found[0][1] for _, protocol in found):
        return [("", found[0][1])] if found[0][1] else []
    return found


def configuration(folder: RunFolder) -> str:
    """The whole configuration as YAML, in the order of the file; empty if there is none."""
    if folder.experiment is None:
        return ""
    return yaml.safe_dump(folder.experiment, sort_keys=False, allow_unicode=True, width=100)


def subtitle(entries: Sequence[Entry]) -> list[str]:
    """What the judged run is, in a few words each: recipe, network, data, steps."""
    judged = next(entry for entry in entries if entry.role == "judged")
    known = _facts(judged.folder)
    words = [known[name] for name in ("recipe", "network", "data") if name in known]
    return words + ([f"{count(judged.folder.planned_steps)} steps"] if judged.folder.planned_steps else [])


def _facts(folder: RunFolder) -> dict[str, str]:
    tree = folder.experiment or {}
    found = {
        "recipe": _text(tree.get("recipe")),
        "network": _joined(tree.get("network"), ("encoder", "head")),
        "data": _joined(tree.get("data"), ("pair", "name")) or _text(tree.get("pair")),
        "seed": _text(tree.get("seed")),
        "steps": _steps(folder),
        "training time": duration(folder.seconds) if folder.seconds else "",
        "speed": f"{significant(folder.steps_per_second)} steps a second" if folder.steps_per_second else "",
        "peak memory": f"{count(folder.memory_mb)} MB" if folder.memory_mb else "",
        "classes": str(len(folder.palette)) if folder.palette else "",
    }
    versions = (folder.card or {}).get("versions")
    if isinstance(versions, dict):
        found |= {name: text for name, text in flat(cast(dict[str, Any], versions))}
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
    if isinstance(value, Mapping):
        inner = cast(Mapping[str, object], value)
        return " + ".join(text for key in keys if (text := _text(inner.get(key))))
    return _text(value)


def _protocol(protocol: Mapping[str, Any], pixels: int | None) -> dict[str, str]:
    listed = dict(flat(protocol))
    return listed | ({"pixels": count(pixels)} if pixels is not None else {})
