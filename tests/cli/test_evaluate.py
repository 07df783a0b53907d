"""``segue evaluate`` end to end: the same numbers as counting by hand, splits, class maps, mistakes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from segue.cli.main import app
from segue.models.weights import load_model, save_model


def run(*arguments: object):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_scores_are_those_of_the_predicted_pictures(
    model_folder: Path, labelled_folder: Path, tmp_path: Path
) -> None:
    """Scored here from the PNG files of ``segue predict``, pixel by pixel."""
    found = run(
        model_folder, "--data", labelled_folder, "--split", "test", "--json", tmp_path / "scores.json"
    )
    assert found.exit_code == 0, found.output
    predicted = ["predict", model_folder, labelled_folder / "images/test", "--out", tmp_path / "out"]
    assert CliRunner().invoke(app, list(map(str, predicted))).exit_code == 0
    pairs = []
    for name in ("a", "b"):
        files = labelled_folder / f"labels/test/{name}.png", tmp_path / f"out/index/{name}.png"
        with Image.open(files[0]) as label, Image.open(files[1]) as ids:
            pairs.append((np.asarray(label).ravel(), np.asarray(ids).ravel()))
    label, ids = (np.concatenate(part) for part in zip(*pairs, strict=True))
    label, ids = label[label != 255], ids[label != 255]
    scores = json.loads((tmp_path / "scores.json").read_text())
    for place, name in enumerate(("road", "car")):
        union = ((label == place) | (ids == place)).sum()
        iou = ((label == place) & (ids == place)).sum() / union
        assert scores["per_class_iou"][name] == pytest.approx(iou)
    assert scores["per_class_iou"]["sky"] is None
    assert scores["pixels"] == 2 * 35 * 70
    assert scores["protocol"]["network"] == "student"
    assert scores["protocol"]["mode"] == "auto"
    assert scores["protocol"]["pictures"] == 2
    lines = found.output.splitlines()
    assert lines[0].startswith("student of ")
    assert [line.split()[0] for line in lines[1:6]] == ["class", "road", "car", "sky", "mean"]
    assert lines[4].split() == ["sky", "n/a"]


def test_labels_with_other_classes_need_a_map(
    model_folder: Path, labelled_folder: Path, tmp_path: Path
) -> None:
    (labelled_folder / "classes.json").write_text(json.dumps(["asphalt", "car"]))
    data = ("--data", labelled_folder, "--split", "val")
    without = run(model_folder, *data)
    assert isinstance(without.exception, ValueError)
    assert "add to the file of --map" in str(without.exception) and "{asphalt: '?'}" in str(without.exception)
    (tmp_path / "map.yaml").write_text("asphalt: road\n")
    found = run(model_folder, *data, "--map", tmp_path / "map.yaml")
    assert found.exit_code == 0, found.output
    (tmp_path / "other.json").write_text(json.dumps(["road", "sky"]))
    refused = run(model_folder, *data, "--classes", tmp_path / "other.json")
    assert "a folder's own list counts" in str(refused.exception)
    (labelled_folder / "classes.json").unlink()
    other = run(model_folder, *data, "--classes", tmp_path / "other.json")
    assert other.exit_code == 0, other.output
    assert other.output.splitlines()[3].split() == ["car", "n/a"]


def test_mistakes_are_one_line(model_folder: Path, labelled_folder: Path) -> None:
    for arguments, message in (
        ((), "name a folder with --data DIR"),
        (("--split", "val"), "name it with --data"),
        (("--data", labelled_folder, "--split", "tset"), "test"),
        (("--data", labelled_folder, "--split", "test", "--teacher"), "has no checkpoint"),
    ):
        found = run(model_folder, *arguments)
        assert isinstance(found.exception, ValueError | OSError), found.output
        assert message in str(found.exception)
        assert "\n" not in str(found.exception)


def test_teacher_comes_from_the_newest_checkpoint(
    model_folder: Path, labelled_folder: Path, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    student, card = load_model(model_folder)
    save_model(tmp_path / "run/model", student, card)
    shifted = {name: value.clone() for name, value in student.state_dict().items()}
    shifted["head.linear_pred.bias"] += torch.tensor([0.0, 0.0, 1e4])
    for step, teacher in (("0000001", student.state_dict()), ("0000002", shifted)):
        folder = tmp_path / "run/checkpoints" / step
        folder.mkdir(parents=True)
        state = {f"student.{name}": value for name, value in student.state_dict().items()}
        state |= {f"teacher.network.{name}": value.clone() for name, value in teacher.items()}
        save_file(state, folder / "method.safetensors")
    data = ("--data", labelled_folder, "--split", "test", "--json", tmp_path / "scores.json")
    found = run(tmp_path / "run", *data, "--teacher")
    assert found.exit_code == 0, found.output
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["accuracy"] == 0.0
    assert scores["protocol"]["network"] == "teacher"
    assert run(tmp_path / "run", *data).exit_code == 0
    assert json.loads((tmp_path / "scores.json").read_text())["accuracy"] > 0.0


@pytest.mark.slow
def test_a_run_is_scored_on_its_own_evaluation_pictures(tmp_path: Path) -> None:
    from segue.engine import experiment as experiments
    from segue.engine.build import build_student
    from segue.engine.model_card import model_card
    from segue.recipes import pairs
    from segue.recipes.catalogue import experiment

    wishes = {"data": {"evaluation": {"pictures": 2}}, "evaluation": {"mode": "whole", "flip": True}}
    settings = experiment("source_only", pairs.STREET_SCENES, wishes)
    experiments.save(settings, tmp_path / "experiment.yaml")
    save_model(tmp_path / "model", build_student(settings), model_card(settings, step=0))
    for folder in (tmp_path, tmp_path / "model"):
        found = run(folder, "--json", tmp_path / "again.json", "--no-flip")
        assert found.exit_code == 0, found.output
        scores = json.loads((tmp_path / "again.json").read_text())
        assert scores["protocol"]["pictures"] == 2
        assert (scores["protocol"]["mode"], scores["protocol"]["flip"]) == ("whole", False)
        assert list(scores["per_class_iou"]) == settings.data.classes
