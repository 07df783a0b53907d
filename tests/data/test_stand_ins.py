"""Proves that a sample of a data set, read as that data set, gives back the street scenes and depths it was made of."""

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from segue.classes import CITYSCAPES_19
from segue.data.depth_file import DepthSettings, read_depth
from segue.data.published import open_published
from segue.data.published_layouts import LAYOUTS
from segue.data.stand_ins import SampleSet, write_sample
from segue.data.streets.dataset import STREET_CLASSES, StreetScenes

LACKING = {"camvid": {"traffic light", "bicycle"}, "camvid_32": {"bicycle"}}


@pytest.mark.parametrize("dataset", list(LAYOUTS))
def test_a_round_trip_keeps_every_label(dataset: str, tmp_path: Path) -> None:
    splits = tuple(split for split in ("val", "validation") if split in LAYOUTS[dataset].splits)
    write_sample(tmp_path / "new", [SampleSet(dataset, "inner", splits, "target")], pictures=2, size=(32, 64))
    found = open_published(
        dataset,
        tmp_path / "new/inner",
        classes=CITYSCAPES_19,
        labelled=True,
        split=splits[0] if splits else None,
    )
    found.check()
    scenes = StreetScenes("target", split="val" if splits else "train", count=len(found), size=(32, 64))
    lost = LACKING.get(dataset, set())
    goals = [255 if name in lost else CITYSCAPES_19.index(name) for name in STREET_CLASSES.names]
    # ACDC's scenes are dealt out to its weathers one after the other, and read weather by weather.
    order = sorted(range(len(found)), key=lambda index: (index % 4, index)) if dataset == "acdc" else None
    for index in range(len(found)):
        scene = order[index] if order else index
        assert found.label(index).equal(torch.tensor(goals, dtype=torch.uint8)[scenes.label(scene).long()])
        difference = (found.image(index).float() - scenes.image(scene).float()).abs().mean()
        assert difference == 0 or (LAYOUTS[dataset].image_end == ".jpg" and difference < 20)
        if (depths := LAYOUTS[dataset].depths) is not None:
            folder = tmp_path / "new/inner" / depths[0].format(split=splits[0] if splits else "")
            near = DepthSettings(folder=folder, encoding=depths[1]).nearness()
            values = torch.from_numpy(near[read_depth(folder / f"{found.name(index)}.png")])
            assert torch.allclose(values, scenes.depth(scene), atol=1 / 128)


@pytest.mark.parametrize(
    ("dataset", "file", "mode"),
    [
        ("gta5", "labels/00001.png", "P"),
        ("mapillary", "training/labels/0000000000000000000001.png", "P"),
        ("cityscapes", "gtFine/train/town/town_000001_000019_gtFine_labelIds.png", "L"),
        ("synthia", "GT/LABELS/0000001.png", "RGB"),
        ("camvid_32", "LabeledApproved_full/0001TP_000001_L.png", "RGB"),
    ],
)
def test_labels_are_of_the_original_kind(dataset: str, file: str, mode: str, tmp_path: Path) -> None:
    splits = tuple(LAYOUTS[dataset].splits)
    write_sample(tmp_path / "new", [SampleSet(dataset, "", splits, "source")], pictures=1)
    with Image.open(tmp_path / "new" / file) as picture:
        rows, columns = LAYOUTS[dataset].size
        assert picture.mode == mode and picture.size == (columns // 8, rows // 8)


def test_a_split_without_labels_gets_none(tmp_path: Path) -> None:
    write_sample(
        tmp_path / "new",
        [SampleSet("dark_zurich", "", ("train", "val"), "target")],
        pictures=1,
        size=(16, 32),
    )
    assert sorted(path.name for path in (tmp_path / "new/gt").iterdir()) == ["val"]


def test_only_a_new_or_empty_folder_is_written(tmp_path: Path) -> None:
    sets = [SampleSet("camvid", "", ("val",), "target")]
    (tmp_path / "new").mkdir()
    write_sample(tmp_path / "new", sets, pictures=1, size=(16, 32))
    kept = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match="new: it holds something already; name a new folder"):
        write_sample(tmp_path / "new", sets, pictures=1, size=(16, 32))
    assert sorted(tmp_path.rglob("*")) == kept


def test_nothing_is_left_of_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="too small"):
        write_sample(tmp_path / "new", [SampleSet("gta5", "", (), "source")], size=(8, 8))
    monkeypatch.setattr("segue.data.stand_ins._label_file", lambda *_: shutil.copy("absent", "absent"))
    with pytest.raises(FileNotFoundError):
        write_sample(tmp_path / "new", [SampleSet("gta5", "", (), "source")], size=(16, 32))
    assert not list(tmp_path.iterdir())
