"""What the page shows of the judged run without target labels: the verdict, measures over time, classes, pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segue.classes import Colour
from segue.evaluation import evidence
from segue.evaluation.evidence import Record, Row, Verdict
from segue.report.curves import Chart, Curve, lay_out
from segue.report.data_uris import EmbeddedPicture, embed_labels, embed_photograph
from segue.report.formatting import significant
from segue.report.roles import ShownRun, judged_run


@dataclass(frozen=True)
class MeasureRow:
    """A measure before and after; None where it could not be taken.

    Attributes:
        tone: "gain" or "loss" if the change speaks for or against the run, else nothing.
    """

    title: str
    before: str | None
    after: str | None
    tone: str


@dataclass(frozen=True)
class ClassShares:
    """How much of the target is named as a class, and how surely; None where it is not known."""

    name: str
    colour: Colour
    source: float | None
    before: float | None
    after: float
    sure_before: float | None
    sure_after: float | None


@dataclass(frozen=True)
class ChangedPicture:
    """A target picture with the classes before and after; the changes are pairs of classes and their share of it."""

    name: str
    image: EmbeddedPicture | None
    before: EmbeddedPicture | None
    after: EmbeddedPicture | None
    changed: float | None
    moves: list[tuple[str, str, float]]


@dataclass(frozen=True)
class Evidence:
    """Everything about the judged run that needs no target label.

    Attributes:
        verdict: None for a run that did not adapt.
        before: What the first column of measures and classes is of; None if there is nothing to compare with.
        alarms: By step, those that were raised on the way, each where it was raised first.
    """

    run: ShownRun
    record: Record
    verdict: Verdict | None
    before: str | None
    measures: list[MeasureRow]
    classes: list[ClassShares]
    charts: list[Chart]
    alarms: list[tuple[int, list[str]]]
    pictures: list[ChangedPicture]


def find_evidence(runs: Sequence[ShownRun]) -> Evidence | None:
    """What is known of the judged run; None if it recorded nothing."""
    judged = judged_run(runs)
    record = judged.folder.evidence
    if record is None or not record.rows:
        return None
    baseline = _baseline(runs)
    before = evidence.compared_with(record, baseline)
    row = None if before is None else before[1]
    return Evidence(
        judged,
        record,
        evidence.judge(record, baseline) if record.adapted else None,
        None if before is None else before[0],
        _measures(record, row),
        _classes(judged, record, row),
        _charts(runs),
        _alarms(record),
        _pictures(judged),
    )


def _baseline(runs: Sequence[ShownRun]) -> tuple[str, Record] | None:
    first = runs[0]
    is_other = first is not judged_run(runs) and first.role != "oracle"
    return (first.name, first.folder.evidence) if is_other and first.folder.evidence is not None else None


def _alarms(record: Record) -> list[tuple[int, list[str]]]:
    """What an alarm is about stands before its colon."""
    known: set[str] = set()
    raised: list[tuple[int, list[str]]] = []
    for row in record.rows:
        new = [alarm for alarm in row.alarms if alarm.partition(":")[0] not in known]
        known |= {alarm.partition(":")[0] for alarm in new}
        if new:
            raised.append((row.step, new))
    return raised


def _measures(record: Record, before: Row | None) -> list[MeasureRow]:
    rows: list[MeasureRow] = []
    for name, measure in record.measures.items():
        was = None if before is None else before.values.get(name)
        now = record.rows[-1].values.get(name)
        change = 0.0 if was is None or now is None else (now - was) * measure["better"]
        tone = "gain" if change > 0 else "loss" if change < 0 else ""
        before_it, after_it = (None if value is None else significant(value) for value in (was, now))
        rows.append(MeasureRow(str(measure["title"]), before_it, after_it, tone))
    return [row for row in rows if row.before is not None or row.after is not None]


def _classes(run: ShownRun, record: Record, before: Row | None) -> list[ClassShares]:
    after, palette = record.rows[-1], run.folder.palette
    return [
        ClassShares(
            name,
            palette.get(name, (128, 128, 128)),
            None if record.source_shares is None else record.source_shares[k],
            None if before is None else before.shares[k],
            after.shares[k],
            None if before is None else before.certainty[k],
            after.certainty[k],
        )
        for k, name in enumerate(record.classes)
    ]


def _charts(runs: Sequence[ShownRun]) -> list[Chart]:
    """Each measure over training, all runs that recorded the same pictures together."""
    judged = judged_run(runs)
    own = judged.folder.evidence
    assert own is not None
    drawn = sorted(runs, key=lambda run: run is judged)
    records = [
        (run, one)
        for run in drawn
        if (one := run.folder.evidence) is not None and one.pictures == own.pictures
    ]
    charts: list[Chart] = []
    for name, measure in own.measures.items():
        curves: list[Curve] = []
        for run, one in records:
            known = [
                (row.step, value) for row in one.counted() if (value := row.values.get(name)) is not None
            ]
            if known:
                steps, values = np.array(known).T
                curves.append(Curve(run.colour, steps, values, values))
        if curves:
            said = "; ".join(
                f"from {significant(curve.values[0])} to {significant(curve.values[-1])}" for curve in curves
            )
            charts.append(
                lay_out(str(measure["title"]), curves, f"{measure['title']} over training steps: {said}")
            )
    return charts


def _pictures(run: ShownRun) -> list[ChangedPicture]:
    """The target pictures that the run kept, the most changed first."""
    kept = sorted(run.folder.target_pictures, key=lambda p: (p.changed is None, -(p.changed or 0.0), p.name))
    palette = list(run.folder.palette.values())
    return [
        ChangedPicture(
            one.name,
            embed_photograph(one.image),
            embed_labels(one.before, palette),
            embed_labels(one.after, palette),
            one.changed,
            one.moves,
        )
        for one in kept
    ]
