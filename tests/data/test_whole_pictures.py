"""Pictures with one class each: folders and lists are read as published data sets lie, and cut as SDAT's code cuts."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.street_folders import write_class_folders
from torch import Tensor

from segue.classes import class_list
from segue.data.dataset import Dataset
from segue.data.loader import Loader
from segue.data.streets.cutouts import OBJECT_CLASSES, StreetObjects
from segue.data.whole_crop import WholeCrop
from segue.data.whole_pictures import open_class_folders, open_image_list
from segue.types import IGNORE, Sample

CLASSES = class_list(["mug", "pen"])


def picture(path: Path, level: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 8, 3), level, dtype=np.uint8)).save(path)


@pytest.fixture
def office(tmp_path: Path) -> Path:
    """Two domains as in Office-Home, one of them with a space in its name, and one list."""
    for domain in ("Art", "Real World"):
        for level, name in enumerate(("mug/1", "mug/2", "pen/1", "toys/1")):
            picture(tmp_path / domain / f"{name}.png", level)
    (tmp_path / "image_list").mkdir()
    (tmp_path / "image_list" / "Real.txt").write_text("Real World/pen/1.png 1\n\nReal World/mug/2.png 0\n")
    return tmp_path


def labels(dataset: Dataset) -> list[int]:
    return [int(dataset.label(index)) for index in range(len(dataset))]


def test_folders_are_classes(office: Path) -> None:
    opened = open_class_folders(
        office, split="Art", classes=CLASSES, class_map={"toys": "ignore"}, labelled=True
    )
    assert [opened.name(index) for index in range(4)] == ["mug/1", "mug/2", "pen/1", "toys/1"]
    assert labels(opened) == [0, 0, 1, IGNORE]
    assert opened.label(0).shape == (1, 1) and opened.image(2)[0, 0, 0] == 2
    opened.check()


def test_unlabelled_folders_take_every_picture_and_tell_no_class(office: Path) -> None:
    opened = open_class_folders(office, split="Real World", classes=CLASSES, labelled=False)
    assert len(opened) == 4
    with pytest.raises(ValueError, match="unlabelled picture"):
        opened.label(0)


def test_a_folder_that_is_no_class_is_named_with_what_to_write(office: Path) -> None:
    with pytest.raises(ValueError, match=r"1 of its classes are not training classes.*\{toys: '\?'\}"):
        open_class_folders(office, split="Art", classes=CLASSES, labelled=True)
    with pytest.raises(FileNotFoundError, match="no such folder; did you mean 'Art'"):
        open_class_folders(office, split="Arts", classes=CLASSES, labelled=True)
    picture(office / "Art" / "loose.png")
    with pytest.raises(ValueError, match="lies in no class's folder"):
        open_class_folders(office, split="Art", classes=CLASSES, labelled=True)


def test_a_list_names_pictures_and_class_numbers(office: Path) -> None:
    opened = open_image_list(office, split="Real", classes=CLASSES, labelled=True)
    assert [opened.name(index) for index in range(2)] == ["Real World/pen/1", "Real World/mug/2"]
    assert labels(opened) == [1, 0]
    assert (
        opened.fingerprint()
        != open_image_list(office, split="Real", classes=CLASSES, labelled=False).fingerprint()
    )


def test_visdas_own_lists_lie_in_the_folder_that_they_list(tmp_path: Path) -> None:
    picture(tmp_path / "train" / "pen" / "src_1.png")
    (tmp_path / "train" / "image_list.txt").write_text("pen/src_1.png 1\n")
    assert labels(open_image_list(tmp_path, split="train", classes=CLASSES, labelled=True)) == [1]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Art/mug/1.png", "line 1: 'Art/mug/1.png' has no class number"),
        ("Art/mug/1.png 2", "line 1: class number 2, but the 2 training classes"),
        ("Art/mug/1.png 0\nArt/mug/1.png 0", "line 2: Art/mug/1.png was listed before"),
        ("", "lists no picture"),
        ("Art/mug/9.png 0", "9.png: no such picture"),
    ],
)
def test_a_wrong_line_is_named(office: Path, line: str, said: str) -> None:
    (office / "image_list" / "Art.txt").write_text(line)
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(said)):
        open_image_list(office, split="Art", classes=CLASSES, labelled=True)


def test_an_unlabelled_list_needs_no_numbers(office: Path) -> None:
    (office / "image_list" / "Art.txt").write_text("Art/mug/1.png\nArt/pen/1.png 77\n")
    assert len(open_image_list(office, split="Art", classes=CLASSES, labelled=False)) == 2


def test_the_sample_is_what_both_readers_read(tmp_path: Path) -> None:
    """Folders and list of the generator give the same pictures and classes as the generator itself."""
    write_class_folders(tmp_path, "target", split="val", count=8, size=(32, 32))
    made = StreetObjects("target", split="val", count=8, size=(32, 32))
    listed = open_image_list(tmp_path, split="val", classes=OBJECT_CLASSES, labelled=True)
    assert labels(listed) == labels(made) == list(range(8))
    folders = open_class_folders(tmp_path, split="val", classes=OBJECT_CLASSES, labelled=True)
    assert sorted(labels(folders)) == labels(made)
    assert all(torch.equal(listed.image(index), made.image(index)) for index in range(8))


def test_objects_are_reproducible_differ_by_domain_and_split_and_tell_no_class_by_name() -> None:
    one, again = (StreetObjects("source", count=16) for _ in range(2))
    assert all(torch.equal(one.image(i), again.image(i)) for i in range(3))
    assert not torch.equal(one.image(0), StreetObjects("target", count=16).image(0))
    assert not torch.equal(one.image(0), StreetObjects("source", split="val", count=16).image(0))
    assert one.name(3) == "source_train_00003" and labels(one) == [*range(8), *range(8)]


def sample(image: Tensor) -> Sample:
    return Sample(image, torch.tensor([[1]], dtype=torch.uint8), None, "a")


def test_the_middle_is_cut_from_the_picture_brought_to_the_box() -> None:
    """A picture that is twice as wide as the box is squeezed; the class stays, and one cell is valid."""
    ramp = torch.arange(64, dtype=torch.uint8).repeat_interleave(2).expand(3, 64, 128)
    cut = WholeCrop((32, 32), resize=(64, 64), cut="middle", flip=0.0)
    got = cut(sample(ramp), torch.Generator())
    assert got.image.shape == (3, 32, 32) and got.valid is not None and got.valid.shape == (1, 1)
    assert torch.equal(got.image[0, 0], torch.arange(16, 48, dtype=torch.uint8))
    assert got.label is not None and int(got.label) == 1


def test_parts_have_the_wanted_areas_and_shapes() -> None:
    """Over many draws, a part's area and ratio stay in their ranges and reach near their ends; padding never shows."""
    rows = torch.arange(100, dtype=torch.uint8)[:, None].expand(100, 100)
    columns = torch.arange(100, dtype=torch.uint8)[None].expand(100, 100)
    image = torch.stack([rows, columns, torch.full_like(rows, 255)])
    cut = WholeCrop((50, 50), cut="part", area=(0.2, 0.8), ratio=(0.75, 4 / 3), flip=0.0)
    areas: list[float] = []
    for seed in range(200):
        got = cut(sample(image), torch.Generator().manual_seed(seed)).image
        assert int(got[2].min()) == 255
        high = (int(got[0, -1, 0]) - int(got[0, 0, 0]) + 2) / 100
        wide = (int(got[1, 0, -1]) - int(got[1, 0, 0]) + 2) / 100
        areas.append(high * wide)
        assert 0.68 < wide / high < 1.48
    assert 0.17 < min(areas) < 0.25 and 0.72 < max(areas) < 0.87


def test_the_loader_gives_labels_of_one_cell_and_opens_no_target_label(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, target = (StreetObjects(domain, count=8, size=(32, 32)) for domain in ("source", "target"))
    label = StreetObjects.label

    def watched(self: StreetObjects, index: int) -> Tensor:
        assert self.domain == "source"
        return label(self, index)

    monkeypatch.setattr(StreetObjects, "label", watched)
    loader = Loader(
        source, target, source_transform=WholeCrop((24, 24)), batch=4, seed=0, mean=(0, 0, 0), std=(1, 1, 1)
    )
    (batch,) = loader.steps(0, 1)
    assert batch.source.label.shape == (4, 1, 1) and batch.source.image.shape == (4, 3, 24, 24)
    assert batch.target is not None and batch.target.valid is not None and bool(batch.target.valid.all())
    expected = [int(name[-5:]) % 8 for name in batch.source.names]
    assert batch.source.label.flatten().tolist() == expected
