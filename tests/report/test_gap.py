"""The gap drawing stands on the three scores, in order, and says how much was closed."""

import pytest

from segue.report.gap import find_gap
from segue.report.lineup import line_up
from segue.report.run_folder import RunFolder


@pytest.fixture
def entries(make_run):
    runs = [make_run(name, level, recipe=name) for name, level in [("source_only", 0.3), ("daformer", 0.5)]]
    return line_up([RunFolder(run) for run in (*runs, make_run("oracle", 0.7))])


def test_gap_from_a_summary(entries) -> None:
    gap = find_gap(entries, {"source_only": 0.4, "adapted": 0.5, "oracle": 0.8})
    assert gap is not None and gap.closed == pytest.approx(0.25)
    assert (gap.source_only.x, gap.adapted.x, gap.oracle.x) == (10.0, 30.0, 90.0)
    assert [mark.name for mark in (gap.source_only, gap.adapted, gap.oracle)] == [
        "source_only",
        "daformer",
        "oracle",
    ]


def test_gap_from_the_runs(entries) -> None:
    gap = find_gap(entries, None)
    assert gap is not None and gap.source_only.value == entries[0].mean_iou


def test_a_gap_that_grew_stays_on_the_drawing(entries) -> None:
    gap = find_gap(entries, {"source_only": 0.5, "adapted": 0.4, "oracle": 0.6})
    assert gap is not None and gap.closed == pytest.approx(-1.0)
    assert gap.adapted.x == 10.0 and gap.source_only.x == 50.0


def test_no_gap_to_close(entries) -> None:
    gap = find_gap(entries, {"source_only": 0.5, "adapted": 0.5, "oracle": 0.5})
    assert gap is not None and gap.closed is None and gap.is_crowded


@pytest.mark.parametrize("oracle", [None, float("nan"), 73.6, "much"])
def test_without_three_fractions_there_is_no_drawing(entries, oracle) -> None:
    assert find_gap(entries, {"source_only": 0.5, "adapted": 0.4, "oracle": oracle}) is None
    assert find_gap(entries[:2], None) is None
    assert find_gap(entries[1:], None) is None
