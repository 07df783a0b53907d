"""What the scores say in plain words: the verdict, its cautions, and the table of classes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from segue.classes import Colour
from segue.report.lineup import Entry
from segue.report.wording import flat, listed, percent, points

NOTICEABLE = 0.01
"""Differences of mean IoU below one point are within what another seed changes as well."""

PRESENT, VANISHED = 0.1, 0.01
"""A class that stood above the first IoU and fell below the second is called vanished."""

Tone = Literal["gain", "even", "loss"]


@dataclass(frozen=True)
class Verdict:
    """The answer to "did it help?".

    Attributes:
        tone: How it came out; None without a comparison.
        headline: The answer in a few words.
        sentences: The numbers behind it.
    """

    tone: Tone | None
    headline: str
    sentences: list[str]


@dataclass(frozen=True)
class ClassRow:
    """One class in the table; None where it is absent.

    Attributes:
        name: The class.
        colour: Its colour in the pictures.
        ious: One for each run.
        differences: To the first run, one for each further run.
    """

    name: str
    colour: Colour
    ious: list[float | None]
    differences: list[float | None]


def judge(entries: Sequence[Entry]) -> Verdict:
    """Judge the run in question against the first one."""
    judged = next(entry for entry in entries if entry.role == "judged")
    baseline = entries[0]
    if judged.mean_iou is None or baseline.mean_iou is None:
        return _no_score(entries)
    if baseline is judged or baseline.role == "oracle":
        return _alone(judged)
    change = judged.mean_iou - baseline.mean_iou
    tone: Tone = "gain" if change >= NOTICEABLE else "loss" if change <= -NOTICEABLE else "even"
    where = "above" if change >= 0 else "below"
    measured = (
        f"With {percent(judged.mean_iou)}% mean IoU on the target, {judged.name} is "
        f"{percent(abs(change))} points {where} {baseline.name} ({percent(baseline.mean_iou)}%)."
    )
    sentences = [
        measured,
        *_further_means(judged),
        *_advice(tone, baseline),
        *_class_sentences(judged, baseline),
    ]
    return Verdict(tone, _headline(tone, judged, baseline=baseline), sentences)


def _headline(tone: Tone, judged: Entry, *, baseline: Entry) -> str:
    if baseline.is_source_only and not judged.is_source_only:
        said = {"gain": "Adaptation helped.", "even": "Adaptation did not help.", "loss": "Adaptation hurt."}
        return said[tone]
    relation = {"gain": "is ahead of", "even": "is level with", "loss": "is behind"}[tone]
    return f"{judged.name} {relation} {baseline.name}."


def _advice(tone: Tone, baseline: Entry) -> list[str]:
    if tone == "even":
        return ["Less than one point is within what another seed changes as well."]
    if tone == "loss" and baseline.is_source_only:
        return [f"Do not deploy it: {baseline.name} is the better model."]
    return []


def _class_sentences(judged: Entry, baseline: Entry) -> list[str]:
    changes = _changes(judged, baseline)
    if not changes:
        return []
    gained = sum(change >= NOTICEABLE for change in changes.values())
    lost = sum(change <= -NOTICEABLE for change in changes.values())
    ordered = sorted(changes, key=lambda name: changes[name])
    best, worst = (f"{name} ({points(changes[name])})" for name in (ordered[-1], ordered[0]))
    return [
        f"{gained} of {len(changes)} classes gained at least one point and {lost} lost as much; "
        f"{best} came out best, {worst} worst."
    ]


def _changes(judged: Entry, baseline: Entry) -> dict[str, float]:
    after = judged.folder.scores.per_class_iou if judged.folder.scores else {}
    before = baseline.folder.scores.per_class_iou if baseline.folder.scores else {}
    pairs = {name: (iou, before.get(name)) for name, iou in after.items()}
    return {name: a - b for name, (a, b) in pairs.items() if a is not None and b is not None}


def _further_means(entry: Entry) -> list[str]:
    """The means over other sets of classes that the evaluator was asked for, in words."""
    means = entry.folder.scores.means if entry.folder.scores else {}
    return [f"Over {name} {entry.name} reaches {percent(mean)}%." for name, mean in means.items()]


def _no_score(entries: Sequence[Entry]) -> Verdict:
    missing = [entry.name for entry in entries if entry.mean_iou is None]
    said = (
        f"There is no score for {listed(missing)}: adapting needs no target labels, but measuring does. "
        'If a few target pictures are labelled, "segue evaluate" scores the run on them.'
    )
    return Verdict(None, "No verdict yet.", [said])


def _alone(judged: Entry) -> Verdict:
    said = [
        f"On the target, {judged.name} reaches {percent(judged.mean_iou)}% mean IoU.",
        *_further_means(judged),
    ]
    source = judged.folder.scores.source_evaluation if judged.folder.scores else None
    if source and source.mean_iou is not None and judged.mean_iou is not None:
        said.append(
            f"On labelled source pictures it reaches {percent(source.mean_iou)}%: "
            f"the target costs it {percent(source.mean_iou - judged.mean_iou)} points."
        )
    if not judged.is_source_only:
        said.append("Whether adapting helped shows only beside a source-only run: give its folder first.")
    return Verdict(None, "Nothing to compare it with.", said)


def cautions(entries: Sequence[Entry]) -> list[str]:
    """What a reader must know before believing the numbers."""
    found = _unequal(entries)
    for entry in entries:
        folder = entry.folder
        if folder.is_unfinished:
            found.append(
                f"At step {folder.last_step} of {folder.planned_steps}, "
                f"{entry.name} stopped or is still training."
            )
        if folder.unread_lines:
            found.append(
                f"Half-written lines in the logs of {entry.name} were left out ({folder.unread_lines})."
            )
        broken = sorted({key for row in folder.metrics for key, value in row.items() if math.isnan(value)})
        if broken:
            found.append(
                f"Not always a finite number in {entry.name}, hence gaps in the curves: {listed(broken)}."
            )
    return found + _vanished(entries)


def _unequal(entries: Sequence[Entry]) -> list[str]:
    scored = [entry.folder.scores for entry in entries if entry.folder.scores]
    found: list[str] = []
    if len({scores.counted for scores in scored}) > 1:
        found.append(
            "The means are over different classes, so they do not compare; the rows of the table do."
        )
    if scored and scored[0].chosen is not None:
        left_out = [name for name in scored[0].per_class_iou if name not in scored[0].chosen]
        found.append(f"By the pair's protocol, means leave out {listed(left_out)}.")
    if len({scores.pixels for scores in scored}) > 1:
        found.append(
            "The runs were scored on different numbers of pixels, so the scores do not strictly compare."
        )
    differing = _differing([scores.protocol for scores in scored])
    if differing:
        found.append(f"The runs were not measured alike: the protocols differ in {listed(differing)}.")
    return found


def _differing(mappings: Sequence[Mapping[str, Any]]) -> list[str]:
    flattened = [dict(flat(mapping)) for mapping in mappings]
    keys = dict.fromkeys(key for mapping in flattened for key in mapping)
    return [key for key in keys if len({mapping.get(key) for mapping in flattened}) > 1]


def _vanished(entries: Sequence[Entry]) -> list[str]:
    judged = next(entry for entry in entries if entry.role == "judged")
    after, before = judged.folder.scores, entries[0].folder.scores
    if after is None or before is None:
        return []
    gone = [
        f"{name} ({percent(was)}% → {percent(now)}%)"
        for name, was in before.per_class_iou.items()
        if was is not None and was >= PRESENT
        and (now := after.per_class_iou.get(name)) is not None and now < VANISHED
    ]  # fmt: skip
    return [f"No longer found by {judged.name}: {listed(gone)}."] if gone else []


def class_table(entries: Sequence[Entry]) -> list[ClassRow]:
    """The IoU of every class of any run, and how far it moved from the first run."""
    palette: dict[str, Colour] = {}
    for entry in entries:
        palette |= {name: c for name, c in entry.folder.palette.items() if name not in palette}
    scored = {name for entry in entries if entry.folder.scores for name in entry.folder.scores.per_class_iou}
    return [_class_row(name, colour, entries) for name, colour in palette.items() if name in scored]


def widest(rows: Sequence[ClassRow]) -> float:
    """The largest difference in the table, in [0, 1], to which its bars are scaled; 1 if nothing moved."""
    return max((abs(d) for row in rows for d in row.differences if d is not None), default=0.0) or 1.0


def _class_row(name: str, colour: Colour, entries: Sequence[Entry]) -> ClassRow:
    ious = [e.folder.scores.per_class_iou.get(name) if e.folder.scores else None for e in entries]
    first = ious[0]
    return ClassRow(
        name, colour, ious, [None if first is None or iou is None else iou - first for iou in ious[1:]]
    )


def settings(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """The configuration keys whose values are not the same in all runs, with each run's value."""
    trees = [entry.folder.experiment or {} for entry in entries]
    flattened = [dict(flat(tree)) for tree in trees]
    return {key: [mapping.get(key, "—") for mapping in flattened] for key in _differing(trees)}
