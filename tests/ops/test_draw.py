"""Pictures show what they should: a colour a class, black where ignored, a column for all a view knows."""

import numpy as np
import pytest
import torch

from segue.ops.draw import MOST_ROWS, colourise, draw_view, grey, heat, overlay, pictures_of, tiled
from segue.types import IGNORE, View

PALETTE = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
MEAN, STD = (10.0, 20.0, 30.0), (2.0, 4.0, 8.0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_classes_get_their_colours_and_ignored_pixels_are_black(dtype: torch.dtype) -> None:
    picture = colourise(torch.tensor([[0, 2], [1, IGNORE]]).to(dtype), PALETTE)
    assert picture.dtype == np.uint8
    assert picture.tolist() == [[[255, 0, 0], [0, 0, 255]], [[0, 255, 0], [0, 0, 0]]]


def test_a_palette_of_255_colours_leaves_the_ignored_value_black() -> None:
    picture = colourise(torch.tensor([[254, IGNORE]]), [(1, 2, 3)] * 255)
    assert picture.tolist() == [[[1, 2, 3], [0, 0, 0]]]


def test_overlay_by_hand() -> None:
    picture = np.full((1, 1, 3), 100, dtype=np.uint8)
    colours = np.array([[[0, 200, 101]]], dtype=np.uint8)
    assert overlay(picture, colours).tolist() == [[[50, 150, 100]]]
    assert overlay(picture, colours, opacity=0.0).tolist() == picture.tolist()
    assert overlay(picture, colours, opacity=1.0).tolist() == colours.tolist()


def test_grey_levels_are_rounded_and_clipped() -> None:
    assert grey(torch.tensor([[0.0, 0.5, 1.0, -1.0, 7.0]])).tolist() == [[0, 128, 255, 0, 255]]
    assert grey(torch.tensor([[0.5]], dtype=torch.bfloat16)).tolist() == [[128]]


def test_heat_gets_brighter() -> None:
    row = heat(torch.linspace(0, 1, 50)[None]).astype(int).sum(axis=2)[0]
    assert (np.diff(row) >= 0).all()
    assert row[-1] > row[0] + 400


def test_normalised_images_become_the_pictures_they_were() -> None:
    picture = torch.randint(0, 256, (2, 3, 4, 5), generator=torch.Generator().manual_seed(0)).float()
    image = (picture - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    assert np.array_equal(pictures_of(image, MEAN, STD), picture.permute(0, 2, 3, 1).numpy().astype(np.uint8))


def test_a_sheet_keeps_every_pixel_of_its_pictures() -> None:
    pictures = [np.full((5, 7, 3), level, dtype=np.uint8) for level in (10, 20, 30, 40)]
    sheet = tiled([pictures[:2], pictures[2:]])
    assert sheet.shape == (12, 16, 3)
    assert (sheet[7:, 9:] == 40).all()
    assert (sheet[5:7] == 255).all()
    captioned = tiled([pictures[:2], pictures[2:]], ["one", "two"])
    assert captioned.shape == (26, 16, 3)
    assert np.array_equal(captioned[14:], sheet)
    assert (captioned[:14] < 128).any()


def test_a_view_is_drawn_with_what_it_has() -> None:
    image = torch.zeros(2, 3, 8, 30)
    label = torch.full((2, 8, 30), 1)
    prediction = torch.full((2, 8, 30), 2)
    bare = draw_view(View("masked", image), prediction, palette=PALETTE, mean=MEAN, std=STD)
    assert bare.shape == (14 + 2 * 10 - 2, 2 * 32 - 2, 3)
    full = draw_view(
        View("target", image, label, torch.full((2, 8, 30), 1.0)),
        prediction,
        palette=PALETTE,
        mean=MEAN,
        std=STD,
    )
    assert full.shape == (14 + 2 * 10 - 2, 4 * 32 - 2, 3)
    second = full[24:32]
    assert (second[:, :30] == (10, 20, 30)).all()
    assert (second[:, 32:62] == PALETTE[1]).all()
    assert (second[:, 64:94] == heat(torch.ones(8, 30))).all()
    assert (second[:, 96:] == PALETTE[2]).all()


def test_a_large_batch_is_drawn_in_part() -> None:
    view = View("source", torch.zeros(9, 3, 4, 4, requires_grad=True))
    sheet = draw_view(view, torch.zeros(9, 4, 4).long(), palette=PALETTE, mean=MEAN, std=STD)
    assert sheet.shape[0] == 14 + MOST_ROWS * 6 - 2
