"""Kept pictures are spread over the data, sorted worst first, not too large, and replace older ones."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segue.classes import class_list
from segue.evaluation.kept_pictures import LONGEST, PictureKeeper
from segue.evaluation.scoring import Compared
from segue.types import IGNORE

CLASSES = class_list(["road", "car"])


def compared(index: int, *, wrong: int = 0, total: int = 4, size: tuple[int, int] = (2, 4)) -> Compared:
    label = torch.zeros(size, dtype=torch.uint8)
    prediction = label.clone()
    prediction.view(-1)[:wrong] = 1
    return Compared(
        index, total, f"town/{index}", torch.full((3, *size), 9, dtype=torch.uint8), label, prediction
    )


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_index_lists_the_worst_picture_first(tmp_path: Path) -> None:
    keeper = PictureKeeper(tmp_path, classes=CLASSES, count=4)
    for index, wrong in enumerate((1, 4, 0)):
        keeper(compared(index, wrong=wrong))
    ignored = compared(3)
    ignored.label.fill_(IGNORE)
    keeper(ignored)
    keeper.write()
    index = json.loads((tmp_path / "pictures/evaluation/index.json").read_text())
    assert [entry["name"] for entry in index] == ["town/1", "town/0", "town/2", "town/3"]
    assert [entry["mean_iou"] for entry in index] == [pytest.approx(4 / 8), pytest.approx(7 / 8), 1.0, None]
    assert index[0]["image"] == "pictures/evaluation/000/image.png"
    for entry in index:
        assert all((tmp_path / entry[kind]).is_file() for kind in ("image", "label", "prediction"))
    drawn = pixels(tmp_path / index[0]["prediction"])
    assert drawn.reshape(-1, 3)[[0, 3, 4]].tolist() == [list(CLASSES.colours[i]) for i in (1, 1, 0)]
    assert (pixels(tmp_path / index[3]["label"]) == 0).all()


def test_pictures_are_spread_over_the_data(tmp_path: Path) -> None:
    keeper = PictureKeeper(tmp_path, classes=CLASSES, count=3)
    for index in range(10):
        keeper(compared(index, total=10))
    keeper.write()
    index = json.loads((tmp_path / "pictures/evaluation/index.json").read_text())
    assert [entry["name"] for entry in index] == ["town/0", "town/3", "town/6"]


@pytest.mark.parametrize("count", [0, 2, 50])
def test_never_more_than_asked_for_or_there_are(tmp_path: Path, count: int) -> None:
    keeper = PictureKeeper(tmp_path, classes=CLASSES, count=count)
    for index in range(4):
        keeper(compared(index))
    keeper.write()
    index = json.loads((tmp_path / "pictures/evaluation/index.json").read_text())
    assert len(index) == min(count, 4)


def test_large_pictures_are_made_smaller_and_classes_stay_pure(tmp_path: Path) -> None:
    keeper = PictureKeeper(tmp_path, classes=CLASSES, count=1)
    keeper(compared(0, wrong=777, total=1, size=(500, 2000)))
    keeper.write()
    folder = tmp_path / "pictures/evaluation/000"
    for kind in ("image", "label", "prediction"):
        assert pixels(folder / f"{kind}.png").shape == (LONGEST // 4, LONGEST, 3)
    colours = np.unique(pixels(folder / "prediction.png").reshape(-1, 3), axis=0)
    assert {tuple(colour) for colour in colours.tolist()} <= set(CLASSES.colours)


def test_an_earlier_evaluation_is_replaced(tmp_path: Path) -> None:
    for count in (3, 1):
        keeper = PictureKeeper(tmp_path, classes=CLASSES, count=count)
        for index in range(4):
            keeper(compared(index))
        keeper.write()
    assert sorted(path.name for path in (tmp_path / "pictures/evaluation").iterdir()) == ["000", "index.json"]
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["evaluation"]


def test_a_failed_write_leaves_the_earlier_evaluation(tmp_path: Path, monkeypatch) -> None:
    keeper = PictureKeeper(tmp_path, classes=CLASSES, count=1)
    keeper(compared(0))
    keeper.write()
    before = (tmp_path / "pictures/evaluation/index.json").read_text()

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, f"cannot write {path}: No space left on device")

    monkeypatch.setattr("segue.evaluation.kept_pictures.write_bytes", full)
    keeper(compared(1))
    with pytest.raises(OSError, match="No space left"):
        keeper.write()
    assert (tmp_path / "pictures/evaluation/index.json").read_text() == before
