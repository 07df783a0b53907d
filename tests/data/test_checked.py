"""A large data set in order is looked at once, in whatever process; a changed file is looked at again."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from segue.classes import class_list
from segue.data import picture_files
from segue.data.folder import ImageFolder

AB = class_list(["a", "b"])


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The files that were opened to be checked."""
    names: list[str] = []
    whole = picture_files.require_whole

    def noting(path: Path) -> tuple[int, int]:
        names.append(path.name)
        return whole(path)

    monkeypatch.setenv("SEGUE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(picture_files, "require_whole", noting)
    monkeypatch.setattr(picture_files, "REMEMBERED", 4)
    return names


def check(root: Path) -> None:
    ImageFolder(root, classes=AB, labelled=True).check()


def test_an_unchanged_folder_is_looked_at_once(write_folder: Callable[..., Path], looked_at: list[str]):
    root = write_folder(["x", "y"])
    check(root)
    assert sorted(looked_at) == ["x.jpg", "x.png", "y.jpg", "y.png"]
    check(root)
    assert len(looked_at) == 4


def test_a_changed_file_is_looked_at_again(write_folder: Callable[..., Path], looked_at: list[str]) -> None:
    root = write_folder(["x", "y"])
    check(root)
    path = root / "images/y.jpg"
    path.write_bytes(path.read_bytes()[:-20])
    for _ in range(2):  # what is wrong is never remembered
        with pytest.raises(ValueError, match=r"y\.jpg: not readable"):
            check(root)


def test_another_time_is_enough(write_folder: Callable[..., Path], looked_at: list[str]) -> None:
    root = write_folder(["x", "y"])
    check(root)
    os.utime(root / "labels/x.png", ns=(1, 1))
    check(root)
    assert len(looked_at) == 8


def test_few_files_leave_nothing_behind(
    write_folder: Callable[..., Path], looked_at: list[str], tmp_path: Path
) -> None:
    check(write_folder(["x"]))
    assert not (tmp_path / "cache").exists()


def test_where_nothing_can_be_remembered_everything_is_looked_at(
    write_folder: Callable[..., Path], looked_at: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEGUE_CACHE", str(tmp_path / "file"))
    root = write_folder(["x", "y"])
    check(root)
    check(root)
    assert len(looked_at) == 8
