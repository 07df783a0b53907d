"""The verdict: whether the judged run is better than the first one, in plain words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from segue.report.formatting import listed, percent, points
from segue.report.roles import ShownRun, judged_run

NOTICEABLE = 0.01
"""A smaller difference of mean IoU may come from the seed alone."""

Tone = Literal["gain", "even", "loss"]


@dataclass(frozen=True)
class Verdict:
    """The answer to "did it help?".

    Attributes:
        tone: None without a comparison.
        headline: The answer in a few words.
        sentences: The numbers behind it.
    """

    tone: Tone | None
    headline: str
    sentences: list[str]


def judge(runs: Sequence[ShownRun]) -> Verdict:
    """Compare the judged run with the first one."""
    judged, first = judged_run(runs), runs[0]
    if judged.mean_iou is None or first.mean_iou is None:
        return _without_score(runs)
    if first is judged or first.role == "oracle":
        return _without_comparison(judged, judged.mean_iou)
    change = judged.mean_iou - first.mean_iou
    tone: Tone = "gain" if change >= NOTICEABLE else "loss" if change <= -NOTICEABLE else "even"
    where = "above" if change >= 0 else "below"
    measured = (
        f"With {percent(judged.mean_iou)}% mean IoU on the target, {judged.name} is "
        f"{percent(abs(change))} points {where} {first.name} ({percent(first.mean_iou)}%)."
    )
    sentences = [measured, *_further_means(judged), *_advice(tone, first), *_about_classes(judged, first)]
    return Verdict(tone, _headline(tone, judged, first), sentences)


def _without_score(runs: Sequence[ShownRun]) -> Verdict:
    missing = listed([run.name for run in runs if run.mean_iou is None])
    said = (
        f"There is no score for {missing}: adapting needs no target labels, but measuring does. "
        'With a few labelled target pictures, "segue evaluate" can score the run.'
    )
    return Verdict(None, "No verdict yet.", [said])


def _without_comparison(judged: ShownRun, mean_iou: float) -> Verdict:
    said = [f"On the target, {judged.name} reaches {percent(mean_iou)}% mean IoU.", *_further_means(judged)]
    source = judged.folder.source_scores
    if source is not None:
        more = "more" if source.mean_iou >= mean_iou else "less"
        said.append(
            f"On labelled source pictures it reaches {percent(source.mean_iou)}%, "
            f"{percent(abs(source.mean_iou - mean_iou))} points {more}."
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
    """The means over other sets of classes that the evaluation was asked for."""
    means = run.scores.means if run.scores else {}
    return [f"Over {name}, {run.name} reaches {percent(mean)}%." for name, mean in means.items()]


def _advice(tone: Tone, first: ShownRun) -> list[str]:
    if tone == "even":
        return ["A difference of less than one point may come from the seed alone."]
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
