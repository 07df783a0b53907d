"""A folder of pictures of all kinds is predicted; bad files cost only themselves; nothing is half written."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segue.classes import class_list
from segue.data.folder_files import find_files
from segue.evaluation import prediction_files
from segue.evaluation.model import Model
from segue.evaluation.prediction_files import KINDS, Written, write_predictions
from segue.evaluation.predictors import predictor_of
from segue.protocol import PredictionProtocol

CLASSES = class_list(["red", "green", "blue"])


def brightest(image):
    """The class of a pixel is its brightest colour."""
    return (image * 10).softmax(dim=1)


def model(predictor=brightest) -> Model:
    return Model(predictor, CLASSES, (0, 0, 0), (255, 255, 255), torch.device("cpu"))


def predict(folder: Path, out: Path, predictor=brightest, **options) -> Written:
    return write_predictions(model(predictor), find_files(folder), out, **options)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def open_ids(path: Path) -> list[list[int]]:
    assert pixels(path).ndim == 2
    return pixels(path).tolist()


def save(path: Path, colours: list, mode: str = "RGB", **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(colours, dtype=np.uint8)).convert(mode).save(path, **options)


RED, GREEN, BLUE = [255, 0, 0], [0, 255, 0], [0, 0, 255]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    save(tmp_path / "photos/a.png", [[RED, GREEN], [BLUE, RED]])
    save(tmp_path / "photos/night/deep/b.png", [[BLUE] * 7] * 3)
    return tmp_path / "photos"


def test_four_pictures_for_each_and_the_class_list(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done: list[str] = []
    assert predict(photos, out, progress=done.append) == Written(2, {})
    assert done == ["a", "night/deep/b"]
    assert open_ids(out / "index/a.png") == [[0, 1], [2, 0]]
    assert open_ids(out / "index/night/deep/b.png") == [[2] * 7] * 3
    assert sorted(path.name for path in out.iterdir()) == sorted([*KINDS, "classes.json"])
    assert json.loads((out / "classes.json").read_text()) == {
        "classes": ["red", "green", "blue"],
        "colours": [list(colour) for colour in CLASSES.colours],
        "ignore": 255,
    }
    colours = pixels(out / "colour/a.png")
    assert colours[0, 1].tolist() == list(CLASSES.colours[1])
    drawn = pixels(out / "overlay/a.png")
    assert drawn[0, 1].tolist() == np.rint((np.array(GREEN) + CLASSES.colours[1]) / 2).tolist()
    confidence = open_ids(out / "confidence/a.png")
    assert confidence == [[255, 255], [255, 255]]


def test_confidence_of_one_is_255(tmp_path: Path) -> None:
    save(tmp_path / "photos/grey.png", [[[8, 8, 8]]])
    predict(tmp_path / "photos", tmp_path / "out")
    assert open_ids(tmp_path / "out/confidence/grey.png") == [[85]]


def test_transparent_grey_palette_and_rotated_pictures(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    save(photos / "alpha.png", [[RED, GREEN]], "RGBA")
    save(photos / "grey.png", [[RED, GREEN]], "L")
    save(photos / "palette.png", [[RED, BLUE]], "P")
    turned = Image.Exif()
    turned[274] = 6
    save(photos / "turned.png", [[RED, GREEN, BLUE]], exif=turned)
    assert predict(photos, out).failed == {}
    assert open_ids(out / "index/alpha.png") == [[0, 1]]
    assert open_ids(out / "index/palette.png") == [[0, 2]]
    assert len(open_ids(out / "index/grey.png")[0]) == 2
    assert open_ids(out / "index/turned.png") == [[0], [1], [2]]


@pytest.mark.parametrize("mode", ["auto", "whole", "sliding"])
def test_odd_sizes_keep_their_size(tmp_path: Path, pixelwise, mode) -> None:
    sizes = {"a": (1, 1), "b": (1, 90), "c": (70, 3), "d": (37, 101)}
    for name, (height, width) in sizes.items():
        save(tmp_path / f"photos/{name}.png", np.zeros((height, width, 3)).tolist())
    predictor = predictor_of(pixelwise(stride=4), PredictionProtocol(window=(32, 32), mode=mode))
    assert predict(tmp_path / "photos", tmp_path / "out", predictor).predicted == 4
    for name, (height, width) in sizes.items():
        for kind in KINDS:
            assert pixels(tmp_path / f"out/{kind}/{name}.png").shape[:2] == (height, width)


def test_bad_files_are_reported_and_good_ones_kept(photos: Path, tmp_path: Path) -> None:
    whole = (photos / "night/deep/b.png").read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3)).tolist()
    save(photos / "cut.jpg", noise)
    (photos / "cut.jpg").write_bytes((photos / "cut.jpg").read_bytes()[:900])
    (photos / "empty.png").write_bytes(b"")
    (photos / "text.jpg").write_text("no picture")
    found = predict(photos, tmp_path / "out")
    assert found.predicted == 2
    assert sorted(found.failed) == ["cut", "empty", "text"]
    for name, reason in found.failed.items():
        assert name in reason
        assert "\n" not in reason
    assert "truncated" in found.failed["cut"]
    assert (photos / "night/deep/b.png").read_bytes() == whole
    assert not (tmp_path / "out/index/cut.png").exists()


def test_an_earlier_prediction_survives_a_failure(photos: Path, tmp_path: Path) -> None:
    predict(photos, tmp_path / "out")
    before = (tmp_path / "out/index/a.png").read_bytes()
    (photos / "a.png").write_bytes(b"damaged")
    assert list(predict(photos, tmp_path / "out").failed) == ["a"]
    assert (tmp_path / "out/index/a.png").read_bytes() == before


def test_a_second_prediction_replaces_the_first(photos: Path, tmp_path: Path) -> None:
    predict(photos, tmp_path / "out")
    save(photos / "a.png", [[GREEN, GREEN]])
    predict(photos, tmp_path / "out")
    assert open_ids(tmp_path / "out/index/a.png") == [[1, 1]]


def test_full_disk_stops_with_the_files_name_and_leaves_no_part(
    photos: Path, tmp_path: Path, monkeypatch
) -> None:
    real = Path.replace

    def full(self: Path, target: Path) -> Path:
        if "overlay" in str(target):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match=r"cannot write .*overlay/a\.png: No space left on device"):
        predict(photos, tmp_path / "out")
    left = [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert sorted(left) == ["a.png", "a.png", "classes.json"]


def test_a_picture_too_large_for_the_device_is_reported(photos: Path, tmp_path: Path) -> None:
    def small_device(image):
        if image.shape[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return brightest(image)

    found = predict(photos, tmp_path / "out", small_device)
    assert found.predicted == 1
    assert "7x3 pixels are too many for the device" in found.failed["night/deep/b"]


def test_nothing_to_do_and_wrong_classes_are_errors(photos: Path, tmp_path: Path, pixelwise) -> None:
    with pytest.raises(ValueError, match="no pictures"):
        write_predictions(model(), {}, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="predicts 5 classes, but 3 are named"):
        predict(photos, tmp_path / "out", predictor_of(pixelwise(5), PredictionProtocol(window=(8, 8))))


def test_nobody_else_writes_predictions() -> None:
    """Labels, unified and fused predictions go through one function, too, so that all are written alike."""
    package = Path(prediction_files.__file__).parents[1]
    for path in package.rglob("*.py"):
        own = path.name == "prediction_files.py" or path.parent.name in ("data", "report", "checking")
        assert own or '/ "index" / f"' not in path.read_text(), path
        assert own or '"PNG"' not in path.read_text(), path
