"""A run folder is read as far as it goes: killed, resumed, incomplete, corrupt or hostile."""

import json
import math
from pathlib import Path

import pytest

from segue.report.run_folder import RunFolder


def test_reads_a_whole_run(make_run) -> None:
    run = RunFolder(make_run("daformer"))
    assert run.name == "daformer"
    assert run.experiment["recipe"] == "daformer"
    assert run.planned_steps == 300 and run.last_step == 290 and not run.is_unfinished
    assert run.scores is not None and run.scores.per_class_iou["train"] is None
    assert len(run.scores.averaged) == 7 and "train" not in run.scores.averaged
    assert run.source_scores is not None and run.source_scores.mean_iou == pytest.approx(0.82)
    assert [picture.name for picture in run.pictures] == ["street_000", "street_001"]
    assert list(run.views) == [0, 100, 200] and list(run.progress) == [3, 10]
    assert run.palette["road"] == (128, 64, 128)


def test_an_empty_folder_is_a_run_that_has_not_begun(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert run.experiment == {} and run.scores is None and run.card == {}
    assert run.metrics == [] and run.pictures == [] and run.views == {} and run.palette == {}
    assert run.last_step is None and not run.is_unfinished


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        RunFolder(tmp_path / "nowhere")


def test_a_killed_run_loses_its_half_line_only(make_run) -> None:
    folder = make_run("killed", scores=False)
    lines = (folder / "metrics.jsonl").read_text().splitlines()[:10]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 100, "lo')
    run = RunFolder(folder)
    assert run.last_step == 90 and run.unread_lines == 1 and run.is_unfinished


def test_a_resumed_run_counts_a_repeated_step_once_and_adds_its_clocks(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(
        '{"step": 0, "loss": 3}\n{"step": 5, "loss": 2}\n{"step": 5, "loss": 1}\n'
    )
    clock = [{"step": 0, "seconds": 10.0}, {"step": 5, "seconds": 30.0}, {"step": 5, "seconds": 4.0}]
    (tmp_path / "timing.jsonl").write_text("\n".join(map(json.dumps, clock)))
    run = RunFolder(tmp_path)
    assert run.metrics == [{"step": 0, "loss": 3}, {"step": 5, "loss": 1}]
    assert run.seconds == 34.0


def test_numbers_that_are_not_finite_become_nan_and_other_values_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(
        '{"step": 1, "loss": Infinity, "note": "x", "flag": true}\n[1]\n{"loss": 1}'
    )
    run = RunFolder(tmp_path)
    assert set(run.metrics[0]) == {"step", "loss"} and math.isnan(run.metrics[0]["loss"])
    assert run.unread_lines == 2


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("scores.json", '{"mean_iou": 0.5, "per_class'),
        ("scores.json", "[]"),
        ("scores.json", '{"mean_iou": 0.5}'),
        ("experiment.yaml", "a: [1"),
        ("experiment.yaml", "just words"),
        (
            "scores.json",
            '{"mean_iou": 0.5, "per_class_iou": {}, "pixels": 1, "accuracy": 0, "source_evaluation": 1}',
        ),
        ("pictures/evaluation/index.json", "{}"),
        ("pictures/evaluation/index.json", "[1]"),
        ("model/card.json", "\x00"),
    ],
)
def test_a_corrupt_file_is_named_in_one_line(make_run, file: str, content: str) -> None:
    folder = make_run("broken")
    (folder / file).write_text(content)
    with pytest.raises(ValueError, match=Path(file).name) as raised:
        RunFolder(folder)
    assert "\n" not in str(raised.value)


def test_listed_pictures_outside_the_folder_are_not_opened(make_run) -> None:
    folder = make_run("hostile")
    run = {"name": "x", "image": "../secret.png", "label": "/etc/hostname", "prediction": 3}
    (folder.parent / "secret.png").write_bytes(b"")
    (folder / "pictures/evaluation/index.json").write_text(json.dumps([run]))
    (picture,) = RunFolder(folder).pictures
    assert picture.image is None and picture.label is None and picture.prediction is None


def test_a_class_without_a_valid_colour_gets_one(make_run) -> None:
    folder = make_run("colours")
    (folder / "model/card.json").write_text(json.dumps({"classes": ["a", "b"], "colours": [[1, 2, 999]]}))
    palette = RunFolder(folder).palette
    assert len({palette["a"], palette["b"]}) == 2
    assert all(0 <= part <= 255 for part in palette["a"])
