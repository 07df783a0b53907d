"""Proves that a folder of pictures is a data set: layouts, classes, checks, and the map of the real pair."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from segue.classes import class_list
from segue.data.folder import ImageFolder

Write = Callable[..., Path]
Save = Callable[..., Path]
AB = class_list(["a", "b"])


def test_images_and_labels_are_read_by_name(write_folder: Write) -> None:
    root = write_folder(["y", "x/1"])
    folder = ImageFolder(root, classes=AB, labelled=True)
    assert [folder.name(index) for index in range(len(folder))] == ["x/1", "y"]
    assert folder.image(0).shape == (3, 6, 8) and int(folder.image(0).max()) <= 3
    assert folder.label(0).tolist() == [[0] * 8] * 3 + [[1] * 8] * 3
    folder.check()


@pytest.mark.parametrize(
    ("images", "labels", "split"),
    [
        ("images", "masks", None),
        ("images/train", "labels/train", "train"),
        ("train/images", "train/masks", "train"),
    ],
)
def test_layouts(write_folder: Write, images: str, labels: str, split: str | None) -> None:
    root = write_folder(["a", "b"], images=images, labels=labels)
    assert len(ImageFolder(root, classes=AB, labelled=True, split=split)) == 2


def test_a_plain_folder_of_pictures_is_a_target(write_folder: Write, tmp_path: Path) -> None:
    write_folder(["a", "b"], root="plain", images=".", labels=None, classes=None)
    folder = ImageFolder(str(tmp_path / "plain"), classes=AB, labelled=False)
    folder.check()
    assert len(folder) == 2
    with pytest.raises(ValueError, match=r"a\.jpg: opened as an unlabelled picture"):
        folder.label(0)


def test_a_target_never_opens_a_label(write_folder: Write) -> None:
    root = write_folder(["a"])
    (root / "labels" / "a.png").write_bytes(b"not a picture")
    (root / "classes.json").write_text("not a class list")
    folder = ImageFolder(root, classes=AB, labelled=False)
    folder.check()
    folder.image(0)
    assert folder.fingerprint()


@pytest.mark.parametrize(("name", "text"), [("classes.yaml", "[b, a]"), ("own.yml", "{0: b, 1: a}")])
def test_class_lists_come_from_files(write_folder: Write, name: str, text: str) -> None:
    root = write_folder(["x"], classes=None)
    (root / name).write_text(text)
    given = None if name == "classes.yaml" else name
    folder = ImageFolder(root, classes=AB, labelled=True, label_classes=given)
    assert folder.label(0)[:, 0].tolist() == [1, 1, 1, 0, 0, 0]


def test_class_lists_come_from_arguments_or_the_training_classes(write_folder: Write) -> None:
    root = write_folder(["x"], classes=None)
    assert ImageFolder(root, classes=AB, labelled=True).label(0)[:, 0].tolist() == [0, 0, 0, 1, 1, 1]
    given = ImageFolder(root, classes=AB, labelled=True, label_classes=["c", "a"], class_map={"c": "ignore"})
    assert given.label(0)[:, 0].tolist() == [255, 255, 255, 0, 0, 0]
    with pytest.raises(ValueError, match=r"has no classes\.json\) has no class 'c'"):
        ImageFolder(root, classes=AB, labelled=True, class_map={"c": "a"})
    with pytest.raises(FileNotFoundError, match=r"absent\.yaml"):
        ImageFolder(root, classes=AB, labelled=True, label_classes="absent.yaml")


def test_a_folders_own_list_wins_and_another_that_says_otherwise_is_refused(write_folder: Write) -> None:
    root = write_folder(["x"], classes=["b", "a"])
    for given in (None, ["b", "a"]):
        folder = ImageFolder(root, classes=AB, labelled=True, label_classes=given)
        assert folder.label(0)[:, 0].tolist() == [1, 1, 1, 0, 0, 0]
    (root / "other.yaml").write_text("[b, c, a]")
    for given, value in ((["a", "b"], "0 is 'b' here, but 'a'"), ("other.yaml", "1 is 'a' here, but 'c'")):
        with pytest.raises(
            ValueError, match=rf"classes\.json: label value {value} in .*own list counts"
        ) as caught:
            ImageFolder(root, classes=AB, labelled=True, label_classes=given)
        assert "\n" not in str(caught.value)


def test_colour_masks_are_read_by_the_colours_of_the_class_list(
    write_folder: Write, save_picture: Save
) -> None:
    root = write_folder(["x"], classes={"classes": ["b", "a"], "colours": [[1, 2, 3], [4, 5, 6]]})
    pixels = np.full((6, 8, 3), (1, 2, 3), dtype=np.uint8)
    pixels[3:] = (4, 5, 6)
    save_picture(pixels, root / "labels/x.png")
    folder = pickle.loads(pickle.dumps(ImageFolder(root, classes=AB, labelled=True)))
    folder.check()
    assert folder.label(0)[:, 0].tolist() == [1, 1, 1, 0, 0, 0]


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(ValueError, match="images: no picture here; jpg, png"):
        ImageFolder(tmp_path, classes=AB, labelled=False)


def test_an_image_without_label_is_refused(write_folder: Write) -> None:
    root = write_folder(["a", "b"])
    (root / "labels" / "b.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"b\.jpg: no label .*b\.png.*1 of 2 images"):
        ImageFolder(root, classes=AB, labelled=True)


def test_labels_of_another_size_are_refused_by_their_header(write_folder: Write, save_picture: Save) -> None:
    root = write_folder(["a"])
    save_picture(np.zeros((8, 6), np.uint8), root / "labels/a.png")
    with pytest.raises(ValueError, match=r"a\.png: 6x8 pixels, but its image a\.jpg has 8x6"):
        ImageFolder(root, classes=AB, labelled=True).check()


def test_bad_files_are_found_by_the_check(write_folder: Write, save_picture: Save) -> None:
    root = write_folder(["a"])
    folder = ImageFolder(root, classes=AB, labelled=True)
    whole = (root / "images/a.jpg").read_bytes()
    (root / "images/a.jpg").write_bytes(whole[:-40])
    with pytest.raises(ValueError, match=r"a\.jpg: .*cut off"):
        folder.check()
    (root / "images/a.jpg").write_bytes(whole)
    save_picture(np.zeros((6, 8, 3), np.uint8), root / "labels/a.png")
    with pytest.raises(ValueError, match=r"a\.png: .*colour masks"):
        folder.check()


def test_bad_values_are_found_when_a_label_is_read(write_folder: Write, save_picture: Save) -> None:
    root = write_folder(["a"])
    folder = ImageFolder(root, classes=AB, labelled=True)
    save_picture(np.full((6, 8), 7, np.uint8), root / "labels/a.png")
    with pytest.raises(ValueError, match=r"labels/a\.png: label values 7 are outside"):
        folder.label(0)
    save_picture(np.eye(6, 8, dtype=np.uint8) * 255, root / "labels/a.png")
    with pytest.raises(ValueError, match=r"labels/a\.png: .*0/255 mask"):
        folder.label(0)


def test_files_cut_off_are_never_filled_up(write_folder: Write) -> None:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_the_fingerprint_follows_files_map_and_classes(write_folder: Write) -> None:
    root = write_folder(["x", "y"])

    def fingerprint(**more: object) -> str:
        return ImageFolder(root, **{"classes": AB, "labelled": True, **more}).fingerprint()

    first = fingerprint()
    assert fingerprint() == first
    seen = {first, fingerprint(labelled=False), fingerprint(classes=class_list(["b", "a"]))}
    seen.add(fingerprint(class_map={"b": "ignore"}))
    (root / "classes.json").write_text('["b", "a"]')
    seen.add(fingerprint())
    os.utime(root / "labels/x.png", ns=(1, 1))
    seen.add(fingerprint())
    (root / "images/y.jpg").rename(root / "images/z.jpg")
    (root / "labels/y.png").rename(root / "labels/z.png")
    seen.add(fingerprint())
    assert len(seen) == 7


def test_a_data_set_travels_to_other_processes(write_folder: Write) -> None:
    folder = ImageFolder(write_folder(["x"]), classes=AB, labelled=True)
    again = pickle.loads(pickle.dumps(folder))
    assert again.fingerprint() == folder.fingerprint() and again.label(0).equal(folder.label(0))


TRAINING = class_list(
    ["road", "sidewalk", "building", "pole", "sign", "vegetation", "sky", "person", "car", "fence"]
)
CARLA = {
    "road line": "road", "wall": "building", "traffic sign": "sign", "traffic light": "sign",
    "terrain": "vegetation", "pedestrian": "person", "vehicle": "car", "guard rail": "fence", "*": "ignore",
}  # fmt: skip
CAMVID = {"pavement": "sidewalk", "tree": "vegetation", "pedestrian": "person", "bicyclist": "ignore"}


@pytest.mark.parametrize(
    ("name", "class_map", "pictures", "split"), [("carla", CARLA, 44, "val"), ("camvid", CAMVID, 101, "val")]
)
def test_the_real_pair(shared_data: Path, name: str, class_map: dict, pictures: int, split: str) -> None:
    folder = ImageFolder(
        shared_data / name, classes=TRAINING, labelled=True, split=split, class_map=class_map
    )
    folder.check()
    assert len(folder) == pictures
    own = json.loads((shared_data / name / "classes.json").read_text())["classes"]
    goals = [class_map.get(old, old if old in TRAINING.names else "ignore") for old in own]
    for index in (0, pictures // 2):
        stored = np.asarray(Image.open(shared_data / name / "labels" / split / f"{folder.name(index)}.png"))
        label = folder.label(index).numpy()
        assert folder.image(index).shape == (3, *label.shape) == (3, 240, 320)
        for value in np.unique(stored):
            goal = "ignore" if value == 255 else goals[value]
            assert set(label[stored == value]) == {255 if goal == "ignore" else TRAINING.index(goal)}
