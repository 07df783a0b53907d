"""Proves that class pixels are counted right, counted once, and counted again when anything has changed."""

import json
import os
from pathlib import Path

import pytest
import torch

from segue.data import statistics
from segue.data.statistics import ClassStatistics, class_statistics


def test_counts_by_hand(grid) -> None:
    counted = class_statistics(grid)
    expected = [torch.bincount(grid.label(index).flatten(), minlength=3).tolist() for index in range(5)]
    assert counted.pixels.tolist() == expected
    assert counted.sizes.tolist() == [40 * 60] * 5
    assert counted.names == ("a", "b", "c") and counted.absent == []


def test_ignored_pixels_count_for_the_size_only(grid) -> None:
    grid.label = lambda index: torch.tensor([[0, 255], [255, 255]], dtype=torch.uint8)
    counted = class_statistics(grid, workers=2)
    assert counted.pixels.tolist() == [[1, 0, 0]] * 5 and counted.sizes.tolist() == [4] * 5
    assert counted.frequency.tolist() == [1, 0, 0] and counted.absent == ["b", "c"]


def test_nothing_labelled_gives_zero_not_nan() -> None:
    nothing = torch.zeros(2, 3, dtype=torch.int64)
    assert ClassStatistics(("a", "b", "c"), nothing, torch.tensor([4, 4])).frequency.tolist() == [0, 0, 0]


def test_a_count_is_kept_and_read_again(grid, tmp_path: Path) -> None:
    cache = tmp_path / "deep" / "statistics.json"
    first = class_statistics(grid, cache=cache)
    grid.label = None  # whoever reads a label now fails
    again = class_statistics(grid, cache=cache)
    assert torch.equal(again.pixels, first.pixels) and torch.equal(again.sizes, first.sizes)
    assert [file.name for file in cache.parent.iterdir()] == ["statistics.json"]


def test_a_count_of_something_else_is_replaced(grid, tmp_path: Path) -> None:
    cache = tmp_path / "statistics.json"
    class_statistics(grid, cache=cache)
    grid.height = 30
    assert class_statistics(grid, cache=cache).sizes.tolist() == [30 * 60] * 5
    assert class_statistics(grid, cache=cache).sizes.tolist() == [30 * 60] * 5


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null", '{"version": 1}', "\x00"])
def test_a_broken_file_is_replaced(grid, tmp_path: Path, content: str) -> None:
    cache = tmp_path / "statistics.json"
    cache.write_text(content)
    assert len(class_statistics(grid, cache=cache).sizes) == 5
    assert json.loads(cache.read_text())["names"][0] == "grid/0"


def test_a_file_of_the_wrong_shape_is_replaced(grid, tmp_path: Path) -> None:
    cache = tmp_path / "statistics.json"
    class_statistics(grid, cache=cache)
    content = json.loads(cache.read_text())
    for key, value in (("pixels", [[1, 2, 3]]), ("sizes", [1]), ("pixels", "x"), ("pixels", [[1], [1, 2]])):
        cache.write_text(json.dumps({**content, key: value}))
        assert class_statistics(grid, cache=cache).sizes.tolist() == [2400] * 5


def test_bad_labels_are_found_and_leave_nothing_behind(grid, tmp_path: Path) -> None:
    grid.label = lambda index: torch.full((2, 2), 3 if index == 3 else 0, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"^grid/3: label values \[3\] are outside the 3 training classes$"):
        class_statistics(grid, cache=tmp_path / "statistics.json")
    assert os.listdir(tmp_path) == []


def test_a_large_data_set_is_counted_once_for_all_runs(
    grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGUE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(statistics, "REMEMBERED", 5)
    first = class_statistics(grid, cache=tmp_path / "one.json")
    read, grid.label = grid.label, None  # whoever reads a label now fails
    again = class_statistics(grid, cache=tmp_path / "two.json")
    assert torch.equal(again.pixels, first.pixels)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    grid.height, grid.label = 30, read  # another fingerprint
    assert class_statistics(grid, cache=tmp_path / "two.json").sizes.tolist() == [30 * 60] * 5
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEGUE_CACHE", str(tmp_path / "file"))  # where nothing can be kept
    assert class_statistics(grid).sizes.tolist() == [30 * 60] * 5
