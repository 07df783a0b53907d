"""Proves which folders and files are found, which label belongs to which image, and what is said if none."""

import os
from pathlib import Path

import pytest

from segue.data.folder_files import find_files, find_folder, labels_of
from segue.files import write_bytes


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.mark.parametrize(
    ("folder", "split", "plain"),
    [
        ("images/train", "train", False),
        ("train/images", "train", False),
        ("images", None, False),
        ("masks", None, False),
        ("train", "train", True),
        ("images/train/day", "train/day", False),
        (".", None, True),
    ],
)
def test_every_layout_is_found(tmp_path: Path, folder: str, split: str | None, plain: bool) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    assert find_folder(tmp_path, ("images", "masks"), split=split, plain=plain) == tmp_path / folder


def test_the_more_exact_layout_wins(tmp_path: Path) -> None:
    touch(tmp_path, "images/train/a.png", "train/images/a.png", "train/a.png")
    assert find_folder(tmp_path, ("images",), split="train", plain=True) == tmp_path / "images" / "train"


@pytest.mark.parametrize(
    ("made", "split", "words"),
    [
        ("images/train", "trian", "no folder images/trian or trian/images; did you mean 'train'?"),
        ("train/images", "trian", "did you mean 'train'?"),
        ("train/images", None, "it is divided into train: say which split"),
        ("pictures", None, "no folder images; there: pictures"),
        (".", "train", "there: no folder"),
    ],
)
@pytest.mark.parametrize("plain", [False, True])
def test_what_is_missing_is_named(
    tmp_path: Path, made: str, split: str | None, words: str, plain: bool
) -> None:
    (tmp_path / made).mkdir(parents=True, exist_ok=True)
    if plain and split is None and made == "pictures":
        assert find_folder(tmp_path, ("images",), split=None, plain=True) == tmp_path
        return
    with pytest.raises(FileNotFoundError) as caught:
        find_folder(tmp_path, ("images",), split=split, plain=plain)
    assert str(caught.value).startswith(f"{tmp_path}: ") and words in str(caught.value)


def test_a_missing_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone: no such folder"):
        find_folder(tmp_path / "gone", ("images",), split=None, plain=True)


def test_files_are_found_in_order_whatever_their_extension(tmp_path: Path) -> None:
    names = ("b.JPG", "a.png", "sub/deep/c.Tiff", "d.webp", "e.bmp", "f.jpeg")
    touch(tmp_path, *names, "notes.txt", ".hidden.png", ".cache/x.png", "classes.json")
    found = find_files(tmp_path)
    assert list(found) == ["a", "b", "d", "e", "f", "sub/deep/c"]
    assert found["sub/deep/c"] == tmp_path / "sub" / "deep" / "c.Tiff"


def test_a_linked_folder_is_followed(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/a.png")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "link").symlink_to(tmp_path / "elsewhere")
    assert list(find_files(tmp_path / "images")) == ["link/a"]


def test_names_with_dots_keep_them(tmp_path: Path) -> None:
    touch(tmp_path, "a.b.png", "a.c.png")
    assert list(find_files(tmp_path)) == ["a.b", "a.c"]


def test_a_suffix_selects_and_is_cut(tmp_path: Path) -> None:
    touch(tmp_path, "bonn/x_gt_ids.png", "bonn/x_gt_colour.png", "bonn/x.png")
    assert list(find_files(tmp_path, suffix="_gt_ids")) == ["bonn/x"]


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "a.jpg")
    with pytest.raises(ValueError, match=r"a\.(png|jpg): a\.(png|jpg) has the same name"):
        find_files(tmp_path)


def test_labels_come_in_the_order_of_images(tmp_path: Path) -> None:
    images = {name: tmp_path / f"{name}.jpg" for name in ("b", "a")}
    labels = {name: tmp_path / f"{name}.png" for name in ("a", "b", "spare")}
    assert list(labels_of(images, labels, tmp_path)) == [tmp_path / "b.png", tmp_path / "a.png"]


def test_an_image_without_label_is_named_with_the_nearest_label(tmp_path: Path) -> None:
    images = {name: tmp_path / f"{name}.jpg" for name in ("street_1", "street_2")}
    labels = {"street_1_mask": tmp_path / "street_1_mask.png"}
    with pytest.raises(
        FileNotFoundError, match=r"street_1\.jpg: no label .*near: street_1_mask\.png.* 2 of 2"
    ):
        labels_of(images, labels, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"street_1\.jpg: no label [^(]*; 2 of 2"):
        labels_of(images, {}, tmp_path)


def test_a_link_back_to_a_folder_is_not_followed(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.png", "b.png")
    (tmp_path / "a/back").symlink_to(tmp_path)
    (tmp_path / "a/elsewhere").symlink_to(tmp_path / "a")
    assert list(find_files(tmp_path)) == ["a/x", "b"]


def test_a_pipe_called_as_a_picture_is_named_and_never_opened(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    os.mkfifo(tmp_path / "b.png")
    with pytest.raises(ValueError, match=r"b\.png: called as a picture, but not a file"):
        find_files(tmp_path)


def test_the_longest_names_of_files_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / f"{'x' * 251}.png"
    write_bytes(path, b"content")
    assert path.read_bytes() == b"content" and len(list(tmp_path.iterdir())) == 1
