"""Numbers are written for people: percent, signed points, n/a, durations."""

import pytest

from segue.report.formatting import count, dotted_texts, duration, listed, percent, points

MINUS = "\N{MINUS SIGN}"


def test_percent_and_points() -> None:
    assert percent(0.5432) == "54.3" and percent(None) == "n/a" and percent(0.0) == "0.0"
    assert points(0.1213) == "+12.1" and points(-0.004) == f"{MINUS}0.4" and points(None) == "n/a"
    assert points(0.0001) == points(-0.0001) == "\N{PLUS-MINUS SIGN}0.0"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (4.24, "4.2 s"),
        (41, "41 s"),
        (59.7, "1 min 0 s"),
        (192, "3 min 12 s"),
        (3599.6, "1 h 0 min"),
        (7500, "2 h 5 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_unknown_duration() -> None:
    assert duration(None) == duration(float("nan")) == "n/a"


def test_count_and_listed() -> None:
    assert count(1048576) == "1\N{NARROW NO-BREAK SPACE}048\N{NARROW NO-BREAK SPACE}576"
    assert listed([]) == "" and listed(["a"]) == "a" and listed(["a", "b", "c"]) == "a, b and c"


def test_nested_settings_become_dotted_keys() -> None:
    tree = {"a": {"b": 1, "c": {}}, "d": [1, {"e": None}], "f": True}
    assert dict(dotted_texts(tree)) == {"a.b": "1", "d": "1, e: none", "f": "yes"}
