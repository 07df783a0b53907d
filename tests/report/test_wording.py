"""Numbers are written for people: percent, signed points, n/a, durations."""

import pytest

from segue.report.wording import count, duration, flat, listed, percent, points, protocol_line

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


def test_flat() -> None:
    tree = {"a": {"b": 1, "c": {}}, "d": [1, {"e": None}], "f": True}
    assert dict(flat(tree)) == {"a.b": "1", "d": "1, e: none", "f": "yes"}


def test_a_protocol_in_one_line() -> None:
    sliding = {
        "network": "student", "mode": "sliding", "window": [1024, 1024], "overlap": 0.5, "blend": "mean",
        "flip": True, "scales": [0.5, 1.0], "resize": None, "precision": "float32", "pictures": 500,
        "batch_statistics": "of 367 target pictures",
        "classes": ["a"] * 19,
    }  # fmt: skip
    assert protocol_line(sliding).split(" \N{MIDDLE DOT} ") == [
        "19 classes",
        "own size",
        "windows of 1024x1024, overlap 0.5, mean",
        "averaged over mirrored, 0.5, 1",
        "student",
        "float32",
        "batch statistics: of 367 target pictures",
        "500 pictures",
    ]
    plain = {
        "flip": False,
        "scales": [1.0],
        "mode": "auto",
        "window": [64, 96],
        "overlap": 0.25,
        "blend": "taper",
    }
    assert protocol_line(plain).split(" \N{MIDDLE DOT} ") == [
        "whole up to 128x192, then windows of 64x96, overlap 0.25, taper",
        "no test-time augmentation",
    ]
    assert protocol_line({}) == ""
