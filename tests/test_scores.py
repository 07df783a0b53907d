"""Scores are averaged over the classes asked for, and come back from scores.json as they were written."""

import json

import pytest

from segue.scores import Scores, protocol_line

PER_CLASS = {"road": 0.9, "wall": 0.1, "train": None}


def test_a_mean_over_some_classes_and_further_ones() -> None:
    """SYNTHIA's sixteen and thirteen classes: absent ones stay out of every mean."""
    found = Scores(0.5, {"road": 0.9, "wall": 0.1, "truck": 0.2, "train": None}, 100, 0.9, {"mode": "whole"})
    narrowed = found.over(["road", "wall", "train"], {"one": ["road"], "nobody": ["train"]})
    assert narrowed.mean_iou == 0.5 and narrowed.averaged == ("road", "wall")
    assert narrowed.means == {"one": 0.9, "nobody": None}
    content = narrowed.to_json()
    assert content["counted"] == ["road", "wall", "train"] and content["per_class_iou"]["truck"] == 0.2
    assert content["protocol"]["mean_over"] == content["counted"] and content["protocol"]["mode"] == "whole"
    assert found.over(None, {}) is found
    with pytest.raises(ValueError, match="unknown class 'rod'; did you mean 'road'"):
        found.over(["rod"], {})
    with pytest.raises(ValueError, match="unknown class 'rod'"):
        found.over(None, {"x": ["rod"]})


@pytest.mark.parametrize("also", [{}, {"one": ["road"], "nobody": ["train"]}])
@pytest.mark.parametrize("counted", [None, ["road", "train"]])
def test_a_file_gives_back_what_was_measured(counted, also) -> None:
    measured = Scores(0.5, dict(PER_CLASS), 100, 0.9, {"mode": "whole", "window": None}).over(counted, also)
    # Others may add to the file.
    content = json.loads(json.dumps(measured.to_json() | {"teacher": {}}))
    assert Scores.from_json(content, "scores.json") == measured


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mean_iou": 54.3}, r"mean_iou is 54\.3, which is not a fraction"),
        ({"mean_iou": None}, "mean_iou is None"),
        ({"per_class_iou": {"road": "high"}}, "road is 'high'"),
        ({"per_class_iou": [1]}, "not a mapping"),
        ({"means": {"all": float("nan")}}, "all is nan"),
        ({"pixels": None}, "NoneType"),
    ],
)
def test_damaged_scores_are_refused_in_one_line(change, reason: str) -> None:
    content = Scores(0.5, dict(PER_CLASS), 100, 0.9).to_json() | change
    with pytest.raises(ValueError, match=rf"^run/scores\.json does not hold scores \(.*{reason}") as raised:
        Scores.from_json(content, "run/scores.json")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["mean_iou", "per_class_iou", "pixels", "accuracy"])
def test_missing_scores_are_named(name: str) -> None:
    content = Scores(0.5, dict(PER_CLASS), 100, 0.9).to_json()
    del content[name]
    with pytest.raises(ValueError, match=f"it has no {name}"):
        Scores.from_json(content, "scores.json")


def test_a_protocol_in_one_line() -> None:
    sliding = {
        "network": "student", "mode": "sliding", "window": [1024, 1024], "overlap": 0.5, "blend": "mean",
        "flip": True, "scales": [0.5, 1.0], "resize": None, "precision": "float32", "pictures": 500,
        "classes": ["a"] * 19, "label_size": [1024, 2048],
        "batch_statistics": "of 367 target pictures",
    }  # fmt: skip
    assert protocol_line(sliding).split(" \N{MIDDLE DOT} ") == [
        "19 classes",
        "labels of 1024x2048",
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
