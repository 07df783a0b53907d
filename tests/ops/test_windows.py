"""Windows cover every pixel, lie where the official code puts them, and merging undoes cutting."""

import itertools
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.ops.windows import assemble, cut, taper, window_grid

side = st.integers(1, 23)


def test_grid_is_that_of_the_official_code(fixtures_dir: Path) -> None:
    cases = json.loads((fixtures_dir / "windows.json").read_text())["slide_windows"]
    assert len(cases) == 5
    for case in cases:
        windows = window_grid(
            (case["height"], case["width"]), tuple(case["crop"]), stride=tuple(case["stride"])
        )
        corners = [[rows.start, rows.stop, columns.start, columns.stop] for rows, columns in windows]
        assert corners == case["y1_y2_x1_x2"]


def test_grid_by_hand() -> None:
    windows = window_grid((4, 7), (4, 3), stride=(1, 2))
    assert [(columns.start, columns.stop) for _, columns in windows] == [(0, 3), (2, 5), (4, 7)]
    assert {(rows.start, rows.stop) for rows, _ in windows} == {(0, 4)}


def test_picture_smaller_than_the_window_is_one_window() -> None:
    assert window_grid((3, 5), (8, 8), stride=(4, 4)) == [(slice(0, 3), slice(0, 5))]


@pytest.mark.parametrize(
    ("size", "stride"), [((9, 9), (5, 4)), ((9, 9), (4, 0)), ((0, 9), (4, 4)), ((9, 9), (4, -1))]
)
def test_gaps_and_empty_sizes_are_refused(size: tuple[int, int], stride: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="stride must be 1 to 4"):
        window_grid(size, (4, 4), stride=stride)


@settings(deadline=None, max_examples=30)
@given(side, side, side, side, st.data())
def test_merging_undoes_cutting(
    height: int, width: int, rows: int, columns: int, data: st.DataObject
) -> None:
    stride = (data.draw(st.integers(1, rows)), data.draw(st.integers(1, columns)))
    maps = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(height * 100 + width))
    windows = window_grid((height, width), (rows, columns), stride=stride)
    pieces = cut(maps, windows)
    assert pieces.shape == (len(windows), 2, 3, min(rows, height), min(columns, width))
    torch.testing.assert_close(assemble(pieces, windows, size=(height, width)), maps)
    weight = taper((pieces.shape[-2], pieces.shape[-1]), (1, 1))
    torch.testing.assert_close(assemble(pieces, windows, size=(height, width), weight=weight), maps)


@settings(deadline=None, max_examples=60)
@given(side, side, st.data())
def test_windows_are_distinct_and_end_at_the_border(length: int, window: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, window))
    starts = [rows.start for rows, _ in window_grid((length, 1), (window, 1), stride=(stride, 1))]
    assert starts == sorted(set(starts))
    assert all(b - a <= stride for a, b in itertools.pairwise(starts))
    assert starts[0] == 0
    assert starts[-1] == max(length - window, 0)


def test_overlap_is_averaged_and_weighted() -> None:
    windows = window_grid((1, 3), (1, 2), stride=(1, 1))
    pieces = torch.tensor([[1.0, 1.0], [4.0, 4.0]]).view(2, 1, 1, 1, 2)
    assert assemble(pieces, windows, size=(1, 3)).flatten().tolist() == [1.0, 2.5, 4.0]
    weight = torch.tensor([[3.0, 1.0]])
    assert assemble(pieces, windows, size=(1, 3), weight=weight).flatten().tolist() == [1.0, 3.25, 4.0]


def test_a_generator_of_pieces_must_have_the_right_number() -> None:
    windows = window_grid((1, 3), (1, 2), stride=(1, 1))
    with pytest.raises(ValueError, match="longer than argument 1"):
        assemble((torch.ones(1, 1, 1, 2) for _ in range(1)), windows, size=(1, 3))
    with pytest.raises(ValueError, match="no windows"):
        assemble([], [], size=(1, 3))


def test_gradient_flows_through_cut_and_assembling() -> None:
    maps = torch.ones(1, 1, 4, 5, requires_grad=True)
    windows = window_grid((4, 5), (2, 3), stride=(1, 2))
    assemble(cut(maps, windows), windows, size=(4, 5)).sum().backward()
    torch.testing.assert_close(maps.grad, torch.ones(1, 1, 4, 5))


@pytest.mark.parametrize("stride", [4, 5, 6, 7, 8])
def test_taper_of_two_neighbours_sums_to_one(stride: int) -> None:
    weight = taper((8, 1), (stride, 1))[:, 0]
    assert weight.min() > 0
    assert weight.max() <= 1
    torch.testing.assert_close(weight[stride:] + weight[: 8 - stride], torch.ones(8 - stride))
    torch.testing.assert_close(weight[8 - stride : stride], torch.ones(max(2 * stride - 8, 0)))


def test_taper_with_more_than_half_overlap_stays_positive_and_symmetric() -> None:
    weight = taper((9, 7), (1, 2))
    assert weight.min() > 0
    torch.testing.assert_close(weight, weight.flip(0).flip(1))
    assert weight[4, 3] == weight.max()
