"""Proves that a piece shows the same place of every map, and is what resizing, then cutting, would give."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segue.data.placement import Axis, Placement

SIDES = st.integers(1, 40)


def axes() -> st.SearchStrategy[Axis]:
    def start(sides: tuple[int, int, int]) -> st.SearchStrategy[Axis]:
        length, resized, size = sides
        return st.builds(
            Axis, st.just(length), st.just(resized), st.integers(0, max(0, resized - size)), st.just(size)
        )

    return st.tuples(SIDES, SIDES, SIDES).flatmap(start)


@settings(max_examples=40, deadline=None)
@given(axes())
def test_nearest_is_the_pixel_under_the_centre(axis: Axis) -> None:
    chosen = np.arange(axis.length)[axis.nearest()]
    centre = (np.arange(axis.start, axis.start + axis.shown) + 0.5) * axis.length / axis.resized
    assert len(chosen) == axis.shown
    assert (np.abs(chosen + 0.5 - centre) <= 0.5 + 1e-9).all()


@settings(max_examples=40, deadline=None)
@given(axes(), axes(), st.booleans())
def test_a_piece_is_cut_from_the_whole_resized_picture(rows: Axis, columns: Axis, mirrored: bool) -> None:
    pixels = np.random.default_rng(rows.length).integers(0, 256, (rows.length, columns.length, 3), np.uint8)
    image = torch.from_numpy(pixels).permute(2, 0, 1)
    whole = np.asarray(
        Image.fromarray(pixels).resize((columns.resized, rows.resized), Image.Resampling.BILINEAR)
    )
    bottom, right = rows.start + rows.shown, columns.start + columns.shown
    expected = np.full((rows.size, columns.size, 3), (1, 2, 3), dtype=np.int16)
    expected[: rows.shown, : columns.shown] = whole[rows.start : bottom, columns.start : right]
    piece = Placement(rows, columns, mirrored).cut_image(image, (1, 2, 3))
    turned = piece.flip(2) if mirrored else piece
    assert np.abs(turned.permute(1, 2, 0).numpy() - expected).max(initial=0) <= 1


def test_unresized_pieces_are_exact_and_padded_after_the_picture() -> None:
    values = torch.arange(12, dtype=torch.uint8).view(3, 4)
    place = Placement(Axis(3, 3, 1, 3), Axis(4, 4, 2, 2), mirrored=False)
    assert place.cut(values, outside=99).tolist() == [[6, 7], [10, 11], [99, 99]]
    turned = Placement(place.rows, place.columns, mirrored=True)
    assert turned.cut(values, outside=99).tolist() == [[7, 6], [11, 10], [99, 99]]
    assert turned.cut_image(values.expand(3, 3, 4), (9, 9, 9))[0].tolist() == [[7, 6], [11, 10], [9, 9]]


def test_a_piece_does_not_share_memory_with_the_picture() -> None:
    values = torch.zeros(3, 4, 4, dtype=torch.uint8)
    piece = Placement(Axis(4, 4, 0, 4), Axis(4, 4, 0, 4), mirrored=False).cut_image(values, (0, 0, 0))
    piece.fill_(7)
    assert int(values.max()) == 0


def test_memory_is_channels_last() -> None:
    piece = Placement(Axis(9, 9, 0, 5), Axis(9, 7, 0, 5), mirrored=True).cut_image(
        torch.zeros(3, 9, 9, dtype=torch.uint8), (0, 0, 0)
    )
    assert piece.permute(1, 2, 0).is_contiguous()
