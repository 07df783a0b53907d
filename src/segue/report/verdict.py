"""What the page says first: whether the judged run is better, the gap it closed, and what to be cautious about."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from segue.evaluation import evidence
from segue.report.formatting import listed, percent, points
from segue.report.roles import ShownRun, judged_run
from segue.report.tables import differing_keys

NOTICEABLE = 0.01
"""A smaller difference of mean IoU may be due to the seed alone."""

Tone = Literal["gain", "even", "loss"]


@dataclass(frozen=True)
class Verdict:
    """The answer to "did it help?".

    Attributes:
        tone: None without a comparison.
    """

    tone: Tone | None
    headline: str
    sentences: list[str]


def judge(runs: Sequence[ShownRun], unlabelled: evidence.Verdict | None = None) -> Verdict:
    """Compare the judged run with the first one.

    Args:
        unlabelled: The verdict on the judged run without target labels, for where labels give none.
    """
    judged, first = judged_run(runs), runs[0]
    if judged.mean_iou is None or first.mean_iou is None:
        return _by_evidence(_without_score(runs), unlabelled)
    if first is judged or first.role == "oracle":
        return _by_evidence(_without_comparison(judged, judged.mean_iou), unlabelled)
    change = judged.mean_iou - first.mean_iou
    tone: Tone = "gain" if change >= NOTICEABLE else "loss" if change <= -NOTICEABLE else "even"
    where = "above" if change >= 0 else "below"
    measured = (
        f"With {percent(judged.mean_iou)}% {judged.called} on the target, {judged.name} is "
        f"{percent(abs(change))} points {where} {first.name} ({percent(first.mean_iou)}%)."
    )
    sentences = [measured, *_further_means(judged), *_advice(tone, first), *_about_classes(judged, first)]
    return Verdict(tone, _headline(tone, judged, first), sentences)


def _by_evidence(labelled: Verdict, unlabelled: evidence.Verdict | None) -> Verdict:
    """The verdict without target labels, if there is one, before what labels say."""
    if unlabelled is None:
        return labelled
    tones: dict[evidence.Finding, Tone] = {"helped": "gain", "no evidence": "even", "hurt": "loss"}
    return Verdict(tones[unlabelled.finding], unlabelled.headline, [*unlabelled.reasons, *labelled.sentences])


def _without_score(runs: Sequence[ShownRun]) -> Verdict:
    missing = listed([run.name for run in runs if run.mean_iou is None])
    said = (
        f"There is no score for {missing}: adapting needs no target labels, but measuring does. "
        'With a few labelled target pictures, "segue evaluate" can score the run.'
    )
    return Verdict(None, "No verdict yet.", [said])


def _without_comparison(judged: ShownRun, mean_iou: float) -> Verdict:
    said = [
        f"On the target, {judged.name} reaches {percent(mean_iou)}% {judged.called}.",
        *_further_means(judged),
    ]
    source = judged.folder.source_scores
    if source is not None:
        more = "more" if source.headline >= mean_iou else "less"
        said.append(
            f"On labelled source pictures it reaches {percent(source.headline)}%, "
            f"{percent(abs(source.headline - mean_iou))} points {more}."
        )
    if not judged.is_source_only:
        said.append("To see whether adapting helped, report it beside a source-only run, given first.")
    return Verdict(None, "Nothing to compare it with.", said)


def _headline(tone: Tone, judged: ShownRun, first: ShownRun) -> str:
    if first.is_source_only and not judged.is_source_only:
        said = {"gain": "Adaptation helped.", "even": "Adaptation did not help.", "loss": "Adaptation hurt."}
        return said[tone]
    relation = {"gain": "is ahead of", "even": "is level with", "loss": "is behind"}[tone]
    return f"{judged.name} {relation} {first.name}."


def _further_means(run: ShownRun) -> list[str]:
    """The further means that the evaluation was asked for."""
    means = run.scores.means if run.scores else {}
    return [f"Over {name}, {run.name} reaches {percent(mean)}%." for name, mean in means.items()]


def _advice(tone: Tone, first: ShownRun) -> list[str]:
    if tone == "even":
        return ["A difference of less than one point may be due to the seed alone."]
    if tone == "loss" and first.is_source_only:
        return [f"Do not deploy it: {first.name} is the better model."]
    return []


def _about_classes(judged: ShownRun, first: ShownRun) -> list[str]:
    changes = {
        name: after - before
        for name, after in judged.ious.items()
        if after is not None and (before := first.ious.get(name)) is not None
    }
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


GAP_MARGIN = 10.0
"""Percent of the drawing's width kept free at either end for labels."""

CLOSE = 30.0
"""Labels closer than this, in percent of the width, go on lines of their own."""


@dataclass(frozen=True)
class Mark:
    """One mean IoU on the scale, in [0, 1]; x is in percent of the width, anchor is SVG's text-anchor."""

    name: str
    value: float
    x: float
    anchor: str


@dataclass(frozen=True)
class Gap:
    """Three scores on one scale.

    Attributes:
        closed: The share of the gap that was closed, negative if it grew; None if there was no gap.
        is_crowded: Whether source-only and oracle are too near for labels on one line.
    """

    source_only: Mark
    adapted: Mark
    oracle: Mark
    closed: float | None
    is_crowded: bool


def find_gap(runs: Sequence[ShownRun]) -> Gap | None:
    """Lay out the gap between source-only and oracle; None unless they and the judged run all have a score."""
    scored = {run.role: (run.name, run.mean_iou) for run in runs if run.mean_iou is not None}
    if not runs[0].is_source_only or not {"baseline", "judged", "oracle"} <= set(scored):
        return None
    values = [scored[role][1] for role in ("baseline", "judged", "oracle")]
    low, span = min(values), max(values) - min(values) or 1.0
    source_only, adapted, oracle = (
        _mark(scored[role][0], value, GAP_MARGIN + (100 - 2 * GAP_MARGIN) * (value - low) / span)
        for role, value in zip(("baseline", "judged", "oracle"), values, strict=True)
    )
    gap = oracle.value - source_only.value
    closed = (adapted.value - source_only.value) / gap if gap > 0 else None
    return Gap(source_only, adapted, oracle, closed, abs(oracle.x - source_only.x) < CLOSE)


def _mark(name: str, value: float, x: float) -> Mark:
    # Labels near an end grow inwards.
    anchor = "start" if x < 1.5 * GAP_MARGIN else "end" if x > 100 - 1.5 * GAP_MARGIN else "middle"
    return Mark(name, value, round(x, 2), anchor)


PRESENT, VANISHED = 0.1, 0.01
"""A class has vanished if its IoU was at least the first value and is now below the second."""


def cautions(runs: Sequence[ShownRun]) -> list[str]:
    """Sentences about what a reader must know before believing the numbers; none if there is nothing to warn about."""
    return [*_about_measuring(runs), *(said for run in runs for said in _about_log(run)), *_vanished(runs)]


def _about_measuring(runs: Sequence[ShownRun]) -> list[str]:
    scored = [run.scores for run in runs if run.scores]
    said: list[str] = []
    if len({frozenset(scores.averaged) for scores in scored}) > 1:
        said.append("The means are over different classes and cannot be compared; the rows of the table can.")
    counted = scored[0].counted if scored else None
    left_out = [] if counted is None else [name for name in scored[0].per_class_iou if name not in counted]
    if left_out:
        said.append(f"The pair's protocol leaves {listed(left_out)} out of the mean.")
    if len({scores.pixels for scores in scored}) > 1:
        said.append(
            "The runs were scored on different numbers of pixels, so their scores are not strictly comparable."
        )
    differing = differing_keys([scores.protocol for scores in scored])
    if differing:
        said.append(f"The runs were not measured alike: the protocols differ in {listed(differing)}.")
    return said


def _about_log(run: ShownRun) -> list[str]:
    folder, said = run.folder, list[str]()
    if folder.is_unfinished:
        said.append(
            f"{run.name} stopped, or is still training, at step {folder.last_step} of {folder.planned_steps}."
        )
    if folder.unread_lines:
        said.append(
            f"The logs of {run.name} have unreadable lines, which were skipped ({folder.unread_lines})."
        )
    broken = sorted({key for row in folder.metrics for key, value in row.items() if math.isnan(value)})
    if broken:
        said.append(f"The curves of {run.name} have gaps where a value was not finite: in {listed(broken)}.")
    return said


def _vanished(runs: Sequence[ShownRun]) -> list[str]:
    judged = judged_run(runs)
    gone = [
        f"{name} ({percent(was)}% → {percent(now)}%)"
        for name, was in runs[0].ious.items()
        if was is not None and was >= PRESENT
        and (now := judged.ious.get(name)) is not None and now < VANISHED
    ]  # fmt: skip
    return [f"{judged.name} no longer finds {listed(gone)}."] if gone else []
