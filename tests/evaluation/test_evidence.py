"""The verdict and the alarms on rows made by hand: collapses raise them, healthy runs do not."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from segue.evaluation import evidence
from segue.evaluation.evidence import Record, Row, judge, read, votes, watched, write

CLASSES = ["road", "car", "sky"]
USUAL = [0.5, 0.1, 0.4]
MEASURES = {
    "steadiness": {"title": "steady", "better": 1, "votes": True},
    "entropy": {"title": "entropy", "better": -1, "votes": True},
    "source_score": {"title": "source", "better": 1, "votes": False},
}


def row(
    step: int, level: float = 0.5, *, shares: list[float] = USUAL, entropy: float = 0.3, source: float = 0.6
) -> Row:
    """Eight pictures about as steady and sure as said."""
    spread = [0.01 * place for place in range(8)]
    each = {"steadiness": [level + more for more in spread], "entropy": [entropy + more for more in spread]}
    values = {"steadiness": level, "entropy": entropy, "source_score": source}
    return Row(step, values, each, shares, [0.8, 0.7, None])


def record(*rows: Row, start: str | None = "source_only") -> Record:
    names = [f"town/{place}" for place in range(8)]
    return Record(MEASURES, CLASSES, True, names, True, 8, False, USUAL, start, list(rows))


def alarms(*rows: Row, start: str | None = "source_only") -> tuple[list[str], bool]:
    last = watched(record(*rows, start=start)).rows[-1]
    return last.alarms, last.collapsed


def test_a_healthy_run_raises_nothing() -> None:
    better = row(100, 0.6, shares=[0.55, 0.05, 0.4], entropy=0.15)
    assert alarms(row(0), better) == ([], False)
    assert alarms(row(0), better, row(200, 0.7, shares=[0.6, 0.04, 0.36], entropy=0.08)) == ([], False)


def test_a_class_that_vanishes_raises_an_alarm_but_is_no_collapse() -> None:
    said, collapsed = alarms(row(0), row(100, shares=[0.59, 0.004, 0.406]))
    assert said == ["car is vanishing: 10.0% of the target before, now 0.4%"] and not collapsed


def test_a_class_that_is_rare_in_the_source_may_go() -> None:
    rare = replace(record(row(0), row(100, shares=[0.6, 0.0, 0.4])), source_shares=[0.6, 0.005, 0.395])
    assert watched(rare).rows[-1].alarms == []


def test_one_class_that_takes_over_is_a_collapse() -> None:
    said, collapsed = alarms(row(0), row(100, shares=[0.9, 0.05, 0.05]))
    assert said[0].startswith("road takes over: 90.0% of the target, at most 50.0% before") and collapsed


def test_it_stands_as_long_as_the_class_does() -> None:
    """What a class covered while it took over is not called usual."""
    first = watched(record(row(0), row(100, shares=[0.9, 0.05, 0.05])))
    second = watched(replace(first, rows=[*first.rows, row(200, shares=[0.92, 0.04, 0.04])]))
    assert second.rows[-1].collapsed


def test_entropy_without_the_classes_moving_is_no_collapse_and_with_it_is() -> None:
    assert alarms(row(0), row(100, entropy=0.01)) == ([], False)
    said, collapsed = alarms(row(0), row(100, entropy=0.01, shares=[0.25, 0.1, 0.65]))
    assert said[0].startswith("hollow certainty: entropy fell from 0.300 to 0.010") and collapsed


def test_an_untrained_start_and_the_first_row_after_it_are_not_compared_with() -> None:
    raw = row(0, shares=[0.0, 1.0, 0.0])
    early = row(50, shares=[1.0, 0.0, 0.0])
    assert alarms(raw, early, start=None) == ([], False)
    assert alarms(raw, early, row(100), start=None) == ([], False)
    assert alarms(raw, early, row(100), row(150, shares=[0.95, 0.05, 0.0]), start=None)[1]


def test_it_helped_if_measures_are_for_it_and_nothing_is_against() -> None:
    verdict = judge(record(row(0), row(100, 0.7, entropy=0.1)))
    assert verdict.finding == "helped" and "2 of 2 measures for it, nothing against" in verdict.headline
    assert "Against the start, on 8 target pictures: steady: better on 8, worse on 0" in verdict.reasons[0]


def test_it_hurt_if_more_is_against_it() -> None:
    assert judge(record(row(0), row(100, 0.2, entropy=0.6))).finding == "hurt"
    forgotten = judge(record(row(0), row(100, 0.5, source=0.4)))
    assert forgotten.finding == "hurt" and "forgets the source" in forgotten.reasons[1]
    assert (
        judge(watched(record(row(0), row(100, 0.9, entropy=0.1, shares=[0.99, 0.0, 0.01])))).finding == "hurt"
    )


def test_a_split_vote_a_lost_class_or_no_change_is_no_evidence() -> None:
    assert judge(record(row(0), row(100, 0.7, entropy=0.6))).finding == "no evidence"
    assert judge(record(row(0), row(100))).finding == "no evidence"
    lost = judge(watched(record(row(0), row(100, 0.7, entropy=0.1, shares=[0.6, 0.0, 0.4]))))
    assert lost.finding == "no evidence" and any("car is vanishing" in said for said in lost.reasons)


def test_without_a_model_to_compare_with_it_says_what_to_do() -> None:
    verdict = judge(record(row(0), row(100, 0.9), start=None))
    assert verdict.finding == "no evidence" and "--baseline" in verdict.reasons[0]


def test_a_baseline_of_the_same_pictures_is_what_it_is_compared_with() -> None:
    own = record(row(0), row(100, 0.7, entropy=0.1), start=None)
    other = record(row(0, 0.9), row(80, 0.8, entropy=0.05), start=None)
    verdict = judge(own, ("source_only", other))
    assert verdict.finding == "hurt" and verdict.reasons[0].startswith("Against source_only")
    elsewhere = replace(other, pictures=["village/0"])
    assert judge(own, ("source_only", elsewhere)).sure == "nothing to compare with"


def test_a_vote_needs_pictures_that_chance_would_rarely_give() -> None:
    """Seven of eight pictures: chance is as one-sided in 18 of 256 cases; six of eight: in 74."""
    seven, six = row(0), row(0)
    seven.each["steadiness"] = [0.4] * 7 + [0.9]
    six.each["steadiness"] = [0.4] * 6 + [0.9] * 2
    after = row(100)
    one, other = (votes(MEASURES, before, after)[0] for before in (seven, six))
    assert one.chance == pytest.approx(18 / 256) and one.side == 1
    assert other.chance == pytest.approx(74 / 256) and other.side == 0


def test_a_record_is_read_back_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    whole = watched(record(row(0), row(100, shares=[0.9, 0.05, 0.05])))
    write(tmp_path, whole)
    assert read(tmp_path) == whole and read(tmp_path / "nowhere") is None
    for change in ({"rows": 3}, {"classes": ["road"]}, {"more": 1}, {"measures": {"x": {}}}):
        content = json.loads((tmp_path / evidence.RECORD_FILE).read_text()) | change
        other = tmp_path / "other"
        other.mkdir(exist_ok=True)
        (other / evidence.RECORD_FILE).write_text(json.dumps(content))
        with pytest.raises(ValueError, match=r"evidence\.json cannot be read"):
            read(other)


def test_a_run_of_stages_is_compared_with_the_start_of_the_first(tmp_path: Path) -> None:
    write(tmp_path / "round1", record(row(0, 0.1), row(50, 0.3)))
    write(tmp_path, record(row(0, 0.3), row(80, 0.4), start="round1/model"))
    evidence.begin_at(tmp_path, tmp_path / "round1")
    whole = read(tmp_path)
    assert whole is not None and whole.start == "source_only"
    assert [(one.step, one.values["steadiness"]) for one in whole.rows] == [(0, 0.1), (80, 0.4)]
    write(tmp_path / "fresh", record(row(0), start=None))
    evidence.begin_at(tmp_path, tmp_path / "fresh")
    assert read(tmp_path) == whole
