"""What a reader must know before believing the numbers."""

import math
from collections.abc import Sequence

from segue.report.formatting import listed, percent
from segue.report.roles import ShownRun, judged_run
from segue.report.run_details import differing_keys

PRESENT, VANISHED = 0.1, 0.01
"""A class whose IoU was at least the first and fell below the second has vanished."""


def cautions(runs: Sequence[ShownRun]) -> list[str]:
    """One sentence each; none if there is nothing to warn about."""
    return [*_about_measuring(runs), *(said for run in runs for said in _about_log(run)), *_vanished(runs)]


def _about_measuring(runs: Sequence[ShownRun]) -> list[str]:
    scored = [run.scores for run in runs if run.scores]
    found: list[str] = []
    if len({frozenset(scores.averaged) for scores in scored}) > 1:
        found.append(
            "The means are over different classes and cannot be compared; the rows of the table can."
        )
    counted = scored[0].counted if scored else None
    left_out = [] if counted is None else [name for name in scored[0].per_class_iou if name not in counted]
    if left_out:
        found.append(f"The pair's protocol leaves {listed(left_out)} out of the mean.")
    if len({scores.pixels for scores in scored}) > 1:
        found.append(
            "The runs were scored on different numbers of pixels, so their scores are not strictly comparable."
        )
    differing = differing_keys([scores.protocol for scores in scored])
    if differing:
        found.append(f"The runs were not measured alike: the protocols differ in {listed(differing)}.")
    return found


def _about_log(run: ShownRun) -> list[str]:
    folder, found = run.folder, list[str]()
    if folder.is_unfinished:
        found.append(
            f"{run.name} stopped, or is still training, at step {folder.last_step} of {folder.planned_steps}."
        )
    if folder.unread_lines:
        found.append(
            f"The logs of {run.name} have unreadable lines, which were skipped ({folder.unread_lines})."
        )
    broken = sorted({key for row in folder.metrics for key, value in row.items() if math.isnan(value)})
    if broken:
        found.append(f"The curves of {run.name} have gaps where a value was not finite: in {listed(broken)}.")
    return found


def _vanished(runs: Sequence[ShownRun]) -> list[str]:
    judged = judged_run(runs)
    gone = [
        f"{name} ({percent(was)}% → {percent(now)}%)"
        for name, was in runs[0].ious.items()
        if was is not None and was >= PRESENT
        and (now := judged.ious.get(name)) is not None and now < VANISHED
    ]  # fmt: skip
    return [f"{judged.name} no longer finds {listed(gone)}."] if gone else []
