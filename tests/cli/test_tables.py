"""Score tables say percent, n/a and the count, and are plain lines when piped."""

import io

from rich.console import Console

from segue.cli.tables import scores_table

SCORES = {
    "mean_iou": 0.5,
    "per_class_iou": {"road": 0.934, "traffic light": 0.066, "train": None},
    "classes_counted": 2,
    "pixels": 1234567,
    "accuracy": 0.9,
    "protocol": {},
}


def printed(scores: dict, *, terminal: bool) -> str:
    out = io.StringIO()
    Console(file=out, force_terminal=terminal, width=60, legacy_windows=False).print(
        scores_table(scores, title="student on [test]")
    )
    return out.getvalue()


def test_piped_tables_are_plain_lines() -> None:
    assert printed(SCORES, terminal=False) == (
        "student on [test]\n"
        "class          IoU %\n"
        "road            93.4\n"
        "traffic light    6.6\n"
        "train            n/a\n"
        "mean of 2       50.0\n"
        "90.0 % of 1,234,567 pixels right\n"
        "n/a: nowhere labelled, left out of the mean\n"
    )


def test_source_scores_are_a_second_column() -> None:
    source = {**SCORES, "mean_iou": 0.75, "per_class_iou": {"road": 1.0, "traffic light": 0.5, "train": 0.25}}
    lines = printed({**SCORES, "source_evaluation": source}, terminal=False).splitlines()
    assert lines[1].split() == ["class", "target", "IoU", "%", "source", "IoU", "%"]
    assert lines[4].split() == ["train", "n/a", "25.0"]
    assert lines[5].split() == ["mean", "of", "2", "50.0", "75.0"]


def test_nothing_is_said_of_absent_classes_when_there_are_none() -> None:
    scores = {**SCORES, "per_class_iou": {"road": 0.5, "car": 0.5}}
    assert "n/a" not in printed(scores, terminal=False)


def test_terminals_get_a_drawn_table() -> None:
    text = printed(SCORES, terminal=True)
    assert "│" in text
    assert "93.4" in text
    assert "mean of 2" in text


def test_means_over_some_of_the_classes_and_how_it_was_measured() -> None:
    scores = {
        **SCORES,
        "counted": ["road"],
        "classes_counted": 1,
        "means": {"2 classes": 0.5, "none": None},
        "protocol": {"classes": ["a", "b", "c"], "mean_over": ["a"], "resize": [512, 1024], "mode": "whole"},
    }
    lines = printed(scores, terminal=False).splitlines()
    assert lines[3].split() == ["traffic", "light", "(not", "counted)", "6.6"]
    assert [line.split()[-1] for line in lines[5:8]] == ["50.0", "50.0", "n/a"]
    assert lines[-1] == "1 of 3 classes \N{MIDDLE DOT} fitted to 512x1024 \N{MIDDLE DOT} whole"
