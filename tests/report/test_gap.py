"""The gap drawing stands on the three scores, in order, and says how much was closed."""

import json
from collections.abc import Callable

import pytest
from tests.report.conftest import scores_of

from segue.report.roles import assign_roles
from segue.report.run_folder import RunFolder
from segue.report.verdict import Gap, find_gap

Find = Callable[..., Gap | None]


@pytest.fixture
def gap_of(make_run) -> Find:
    """The gap between runs of these scores on the target; None for a run without a score."""

    def make(*ious: float | None, names=("source_only", "daformer", "oracle")) -> Gap | None:
        folders = [make_run(name, recipe=name, pictures=0, scores=False) for name in names]
        for folder, iou in zip(folders, ious, strict=True):
            if iou is not None:
                (folder / "scores.json").write_text(json.dumps(scores_of({"road": iou})))
        return find_gap(assign_roles([RunFolder(folder) for folder in folders]))

    return make


def test_marks_lie_where_the_scores_are(gap_of: Find) -> None:
    gap = gap_of(0.4, 0.5, 0.8)
    assert gap is not None and gap.closed == pytest.approx(0.25)
    marks = (gap.source_only, gap.adapted, gap.oracle)
    assert [mark.x for mark in marks] == [10.0, 30.0, 90.0] and [mark.value for mark in marks] == [
        0.4,
        0.5,
        0.8,
    ]
    assert [mark.name for mark in marks] == ["source_only", "daformer", "oracle"]


def test_a_gap_that_grew_stays_on_the_drawing(gap_of: Find) -> None:
    gap = gap_of(0.5, 0.4, 0.6)
    assert gap is not None and gap.closed == pytest.approx(-1.0)
    assert gap.adapted.x == 10.0 and gap.source_only.x == 50.0


def test_no_gap_to_close(gap_of: Find) -> None:
    gap = gap_of(0.5, 0.5, 0.5)
    assert gap is not None and gap.closed is None and gap.is_crowded


@pytest.mark.parametrize(
    ("ious", "names"),
    [
        ((0.5, 0.4, None), ("source_only", "daformer", "oracle")),
        ((0.5, 0.4), ("source_only", "mic")),
        ((0.5, 0.4, 0.6), ("dacs", "mic", "oracle")),
    ],
)
def test_without_all_three_there_is_no_drawing(gap_of: Find, ious, names) -> None:
    assert gap_of(*ious, names=names) is None
