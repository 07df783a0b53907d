"""Choosing by ranks, rank correlation, points lost, and a probe's certainty, on numbers worked out by hand."""

import numpy as np
import pytest

from segue.evaluation.evidence import Row
from segue.evaluation.selection import Candidate, correlation, points_lost, probe, rank

MEASURES = {
    "up": {"title": "up", "better": 1, "votes": True},
    "down": {"title": "down", "better": -1, "votes": True},
    "side": {"title": "side", "better": 0, "votes": False},
    "alone": {"title": "alone", "better": 1, "votes": False},
}


def candidate(
    step: int, up: float, down: float, *, kept: bool = True, alarms: list[str] | None = None
) -> Candidate:
    values = {"up": up, "down": down, "side": 1.0, "alone": -up if step else None}
    return Candidate("run", Row(step, values, {}, [], [], alarms or []), kept)


def test_the_best_mean_rank_is_chosen_and_measures_disagree() -> None:
    ranking = rank([candidate(0, 1, 3), candidate(10, 2, 2), candidate(20, 3, 2)], MEASURES)
    assert ranking.ranks == {"up": [3, 2, 1], "down": [3, 1.5, 1.5], "alone": [None, 1, 2]}
    assert ranking.mean_rank == [3, 1.75, 1.25] and ranking.chosen == 2
    assert ranking.best_by("alone") == 1 and ranking.best_by("down") == 2  # the later of two equal ones
    assert [one.name for one in ranking.candidates] == ["run, the start", "run at 10", "run at 20"]


def test_what_is_not_kept_or_raised_an_alarm_is_not_chosen() -> None:
    gone, alarmed = candidate(10, 9, 0, kept=False), candidate(20, 8, 1, alarms=["road takes over"])
    assert rank([gone, alarmed, candidate(30, 1, 3)], MEASURES).chosen == 2
    assert rank([gone, alarmed], MEASURES).chosen == 1
    assert rank([gone], MEASURES).chosen is None


def test_rank_correlation_is_spearman_s() -> None:
    assert correlation([1, 2, 3, None], [10, 20, 900, 5]) == pytest.approx(1)
    assert correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    assert correlation([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    assert correlation([1, 2], [1, 2]) is None and correlation([1, 1, 1], [1, 2, 3]) is None


def test_points_lost_are_counted_among_what_was_scored() -> None:
    assert points_lost([1, 2, 3], [0.4, 0.6, 0.5]) == pytest.approx(0.2)
    assert points_lost([1, 2, 3], [None, 0.6, 0.5]) == 0
    assert points_lost([None], [0.4]) is None


def test_a_probe_scores_all_pictures_and_says_how_often_each_would_win() -> None:
    """The first is right everywhere, the second wrong in one of two pictures; the third was not scored."""
    right = np.stack([np.diag([4, 4])] * 2)
    half = np.stack([np.diag([4, 4]), np.array([[0, 4], [4, 0]])])
    found = probe([right, half, None])
    assert found.scores == [1.0, pytest.approx(1 / 3), None]
    # Both are best where only the first picture is drawn, in a quarter of cases, and then the first one counts.
    assert found.again == [1.0, 0.0, 0.0]
    assert probe([half, right, None]).again[1] == pytest.approx(0.75, abs=0.06)
