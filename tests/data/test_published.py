"""Proves the id tables of the published data sets, their layouts, and what is said of a wrong or half-unpacked one."""

import re
import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from segue.classes import CITYSCAPES_19, SYNTHIA_16, class_list
from segue.data.published import open_published, published_table
from segue.data.published_layouts import GENERATED, LAYOUTS, WHOLE
from segue.data.stand_ins import SampleSet, write_sample
from segue.engine.settings import DomainSettings
from segue.types import IGNORE

# The tables as the papers' code writes them: label id -> training id.
CITYSCAPES = {
    7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13, 27: 14,
    28: 15, 31: 16, 32: 17, 33: 18,
}  # fmt: skip
SYNTHIA = {
    3: 0, 4: 1, 2: 2, 21: 3, 5: 4, 7: 5, 15: 6, 9: 7, 6: 8, 16: 9, 1: 10, 10: 11, 17: 12, 8: 13, 18: 14, 19: 15,
    20: 16, 12: 17, 11: 18,
}  # fmt: skip
VISTAS = {
    13: 0, 24: 0, 41: 0, 2: 1, 15: 1, 17: 2, 6: 3, 3: 4, 45: 5, 47: 5, 48: 6, 50: 7, 30: 8, 29: 9, 27: 10, 19: 11,
    20: 12, 21: 12, 22: 12, 55: 13, 61: 14, 54: 15, 58: 16, 57: 17, 52: 18,
}  # fmt: skip
TABLES = {
    "gta5": (CITYSCAPES, 35),
    "cityscapes": (CITYSCAPES, 35),
    "acdc": (CITYSCAPES, 35),
    "dark_zurich": (CITYSCAPES, 35),
    "synthia": (SYNTHIA, 23),
    "bdd100k": ({i: i for i in range(19)}, 19),
    "mapillary": (VISTAS, 66),
    "camvid": ({0: 10, 1: 2, 2: 5, 3: 0, 4: 1, 5: 8, 6: 7, 7: 4, 8: 13, 9: 11}, 12),
    "camvid_32": (
        {
            4: 2,
            5: 13,
            7: 11,
            8: 5,
            9: 4,
            10: 0,
            11: 0,
            13: 17,
            16: 11,
            17: 0,
            19: 1,
            20: 7,
            21: 10,
            22: 13,
            24: 6,
            25: 16,
            26: 8,
            29: 8,
            30: 3,
        },
        32,
    ),
}


@pytest.mark.parametrize("dataset", list(TABLES))
def test_label_ids_become_training_ids(dataset: str) -> None:
    expected, values = TABLES[dataset]
    table = published_table(dataset, CITYSCAPES_19, {})
    ids = table.translate(np.array([[*range(values)]]), "label")[0].tolist()
    assert ids == [expected.get(value, 255) for value in range(values)]
    with pytest.raises(ValueError, match=f"label values {values} are outside"):
        table.translate(np.array([[values]]), "label")


def test_every_data_set_can_be_named_in_the_settings() -> None:
    known = get_args(DomainSettings.model_fields["dataset"].annotation)
    assert set(known) == {"folder", *GENERATED, *WHOLE, *LAYOUTS} and set(TABLES) == set(LAYOUTS)


def test_a_class_map_overrides_the_usual_one_class_by_class() -> None:
    parking = published_table("mapillary", CITYSCAPES_19, {"parking": "road", "curb": "ignore"})
    assert parking.ids[[10, 2, 24]].tolist() == [0, 255, 0]
    own = published_table("mapillary", class_list(["road", "curb"]), {"*": "ignore"})
    assert own.ids[[13, 24, 2, 15]].tolist() == [0, 0, 1, 255], (
        "a training class of the same name comes first"
    )
    with pytest.raises(
        ValueError,
        match=r"synthia: 3 of its classes are not .*add to class_map.*\{terrain: '\?', truck: '\?', train: '\?'\}",
    ):
        published_table("synthia", SYNTHIA_16, {})
    with pytest.raises(ValueError, match="synthia has no class 'person'"):
        published_table("synthia", CITYSCAPES_19, {"person": "rider"})
    absent = {"wall", "traffic light", "terrain", "rider", "truck", "bus", "train", "motorcycle", "bicycle"}
    ids = published_table("camvid", CITYSCAPES_19, {}).ids
    trained = {CITYSCAPES_19.names[index] for index in ids if index != IGNORE}
    assert trained == set(CITYSCAPES_19.names) - absent


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample of every data set, each in a folder of its name."""
    root = tmp_path_factory.mktemp("samples") / "all"
    # ACDC's splits are listed twice, as a whole and by weather; the whole is enough.
    sets = [
        SampleSet(name, name, tuple(split for split in layout.splits if "/" not in split), "source")
        for name, layout in LAYOUTS.items()
    ]
    write_sample(root, sets, pictures=3, size=(16, 32))
    return root


@pytest.fixture
def copied(samples: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    shutil.copytree(samples, tmp_path / "copied")
    return tmp_path / "copied"


def opened(root: Path, dataset: str, *, split: str | None = None, labelled: bool = True):
    return open_published(dataset, root / dataset, classes=CITYSCAPES_19, labelled=labelled, split=split)


@pytest.mark.parametrize(
    ("dataset", "split", "pictures", "name"),
    [
        ("gta5", None, 3, "00001"),
        ("synthia", None, 3, "0000001"),
        ("cityscapes", "val", 3, "town/town_000001_000019"),
        ("acdc", "train", 12, "fog/train/GOPR0001/GOPR0001_frame_000001"),
        ("acdc", "snow/val", 3, "GOPR0001/GOPR0001_frame_000004"),
        ("dark_zurich", "val", 3, "GOPR0001/GOPR0001_frame_000001"),
        ("bdd100k", "train", 3, "00000001"),
        ("mapillary", "validation", 3, "0000000000000000000001"),
        ("camvid", "test", 3, "0001TP_000001"),
        ("camvid_32", None, 3, "0001TP_000001"),
    ],
)
def test_layouts(samples: Path, dataset: str, split: str | None, pictures: int, name: str) -> None:
    found = opened(samples, dataset, split=split)
    found.check()
    assert len(found) == pictures and found.name(0) == name
    assert found.image(0).shape == (3, 16, 32) and found.label(0).shape == (16, 32)


def test_a_target_touches_no_label(copied: Path) -> None:
    shutil.rmtree(copied / "cityscapes" / "gtFine")
    target = opened(copied, "cityscapes", split="train", labelled=False)
    target.check()
    assert len(target) == 3 and target.fingerprint()
    with pytest.raises(ValueError, match="opened as an unlabelled picture"):
        target.label(0)


@pytest.mark.parametrize(
    ("dataset", "split", "words"),
    [
        ("gta5", "train", "gta5 is not divided into splits: leave out split: train"),
        ("cityscapes", None, "cityscapes is divided into train, val: say which split"),
        ("mapillary", "train", "mapillary has no split 'train'; did you mean 'training'?"),
        ("acdc", "snwo/val", "acdc has no split 'snwo/val'; did you mean 'snow/val'?"),
        ("dark_zurich", "train", "comes without labels of its split 'train'; it can only be a target"),
    ],
)
def test_wrong_splits(samples: Path, dataset: str, split: str | None, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        opened(samples, dataset, split=split)


def test_a_wrong_root_is_told_what_was_expected_and_found(samples: Path, tmp_path: Path) -> None:
    expected = r"expected leftImg8bit/SPLIT/\.\.\./\*_leftImg8bit\.png and gtFine/SPLIT/\.\.\./\*_gtFine_labelIds\.png"
    with pytest.raises(
        FileNotFoundError, match=rf"no folder leftImg8bit/val; {expected}; there: acdc, bdd100k"
    ):
        open_published("cityscapes", samples, classes=CITYSCAPES_19, labelled=True, split="val")
    with pytest.raises(
        FileNotFoundError, match=r"none: no such folder; synthia is looked for there, as RGB/\*"
    ):
        open_published("synthia", tmp_path / "none", classes=CITYSCAPES_19, labelled=True)
    (tmp_path / "images").mkdir()
    with pytest.raises(
        ValueError, match=r"images: no file \*\.png here; expected images/\*\.png and labels/"
    ):
        open_published("gta5", tmp_path, classes=CITYSCAPES_19, labelled=False)


def test_half_a_data_set_is_refused(copied: Path) -> None:
    (copied / "gta5/images/00002.png").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"labels/00002\.png: it has no image, as 1 of 3 labels have none"
    ):
        opened(copied, "gta5")
    (copied / "camvid/valannot/0001TP_000003.png").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"0001TP_000003\.png: it has no label, as 1 of 3 images have"
    ):
        opened(copied, "camvid", split="val")
    shutil.rmtree(copied / "acdc/rgb_anon/rain")
    with pytest.raises(FileNotFoundError, match=r"no folder rgb_anon/rain/train"):
        opened(copied, "acdc", split="train")
    assert len(opened(copied, "acdc", split="fog/train")) == 3


def test_blank_pictures_of_gta5_are_left_out(copied: Path) -> None:
    """Note: the official code trains on them; they are black, with labels of a whole street."""
    for folder in ("images", "labels"):
        (copied / "gta5" / folder / "00002.png").rename(copied / "gta5" / folder / "15188.png")
    found = opened(copied, "gta5")
    assert [found.name(index) for index in range(len(found))] == ["00001", "00003"]


def test_labels_of_synthia_with_eight_bits_are_refused(copied: Path) -> None:
    from PIL import Image

    Image.new("RGB", (32, 16)).save(copied / "synthia/GT/LABELS/0000002.png")
    found = opened(copied, "synthia")
    with pytest.raises(
        ValueError, match=r"0000002\.png: found RGB with 8 bits a channel, but a SYNTHIA label"
    ):
        found.check()
    with pytest.raises(ValueError, match=r"0000002\.png: found RGB with 8 bits"):
        found.label(1)
