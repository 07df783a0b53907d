"""``segue predict`` end to end on an untrained network: files, sizes, bad input, exit codes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from segue import api
from segue.bench.predict import model_of
from segue.cli.main import app
from segue.models.weights import save_model


def run(*arguments: object):
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for name, size in {"a.jpg": (48, 40), "night/b.png": (130, 70), "night/c.webp": (7, 5)}.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(path)
    return tmp_path / "photos"


def opened(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_folder_is_predicted_at_every_pictures_size(model_folder: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = run(model_folder, photos, "--out", out)
    assert found.exit_code == 0, found.output
    assert found.output.strip() == f"3 of 3 pictures predicted: {out}/{{index,colour,overlay,confidence}}"
    for name, (width, height) in {"a": (48, 40), "night/b": (130, 70), "night/c": (7, 5)}.items():
        assert opened(out / f"index/{name}.png").shape == (height, width)
        assert opened(out / f"index/{name}.png").max() < 3
        assert opened(out / f"overlay/{name}.png").shape == (height, width, 3)
        assert opened(out / f"confidence/{name}.png").min() >= 255 // 3


def test_every_way_to_predict(model_folder: Path, photos: Path, tmp_path: Path) -> None:
    plain = run(model_folder, photos, "--out", tmp_path / "plain", "--mode", "whole")
    best = run(
        *(
            model_folder,
            photos,
            "--out",
            tmp_path / "best",
            "--mode",
            "sliding",
            "--flip",
            "--scales",
            "0.5,1",
        ),
        *("--device", "cpu"),
    )
    assert (plain.exit_code, best.exit_code) == (0, 0), best.output
    one, other = (opened(tmp_path / kind / "confidence/night/b.png") for kind in ("plain", "best"))
    assert not np.array_equal(one, other)


def test_bad_files_give_exit_code_2_and_keep_the_good_ones(
    model_folder: Path, photos: Path, tmp_path: Path
) -> None:
    content = (photos / "a.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(content[: len(content) // 2])
    found = run(model_folder, photos, "--out", tmp_path / "out")
    assert found.exit_code == 2
    assert "3 of 4 pictures predicted" in found.output
    assert "segue: cut was not predicted: " in found.stderr
    assert "cut.jpg" in found.stderr
    assert (tmp_path / "out/index/a.png").is_file()
    assert not (tmp_path / "out/index/cut.png").exists()


def test_predictions_below_the_folder_are_not_predicted_again(model_folder: Path, photos: Path) -> None:
    for _ in range(2):
        found = run(model_folder, photos, "--out", photos / "predicted")
        assert found.output.startswith("3 of 3")


def test_one_picture(model_folder: Path, photos: Path, tmp_path: Path) -> None:
    found = run(model_folder, photos / "night/b.png", "--out", tmp_path / "out")
    assert found.output.startswith("1 of 1")
    assert opened(tmp_path / "out/index/b.png").shape == (70, 130)


def test_the_model_of_a_run_folder_is_found(model_folder: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/model").symlink_to(model_folder)
    found = run(tmp_path / "run", photos / "a.jpg", "--out", tmp_path / "out")
    assert found.exit_code == 0, found.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", "photos", "--out", "out"), "neither a run folder nor a model folder"),
        (("MODEL", "nowhere", "--out", "out"), "no such folder or picture"),
        (("MODEL", "photos", "--out", "photos"), "choose another folder than that of the pictures"),
        (("MODEL", "photos/night/..", "--out", "photos"), "choose another folder"),
        (("MODEL", "photos", "--out", "out", "--scales", "1,big"), "as in 0.75,1,1.25"),
        (("MODEL", "photos", "--out", "out", "--scales", "0"), "each above 0"),
        (("MODEL", "photos", "--out", "out", "--device", "abacus"), "not usable here"),
        (("MODEL", "empty", "--out", "out"), "no picture here"),
        (("MODEL", "photos", "--out", "labels"), "predictions need a folder of their own"),
    ],
)
def test_mistakes_are_one_line(
    model_folder: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments, message
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "made.json").write_text("{}")
    found = run(*(model_folder if word == "MODEL" else word for word in arguments))
    assert isinstance(found.exception, ValueError | OSError), found.output
    assert message in str(found.exception)
    assert "\n" not in str(found.exception)
    assert not (tmp_path / "out").exists()


def test_out_is_required(model_folder: Path, photos: Path) -> None:
    assert run(model_folder, photos).exit_code == 2


def test_bf16_is_taken_on_a_processor_only_when_asked_for(tmp_path: Path) -> None:
    """The card may ask for half precision, which a GPU has; a processor has to be told."""
    made = model_of("mit_nano", "segformer", (64, 64), torch.device("cpu"), precision="bfloat16", channels=16)
    card = replace(
        made.card,
        network={
            "encoder": "mit_nano",
            "head": "segformer",
            "num_classes": len(made.classes),
            "channels": 16,
        },
    )
    save_model(tmp_path / "model", made.network, card)
    assert api.load(tmp_path / "model", "cpu").protocol.precision == "float32"
    assert api.load(tmp_path / "model", "cpu", precision="bfloat16").protocol.precision == "bfloat16"
