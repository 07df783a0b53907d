"""Proves that random crops keep image, label and valid area together, and refuse what they should."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.data.crop import Margins, RandomCrop
from segue.types import IGNORE, Sample

FILL = (250.0, 251.0, 252.0)


def whole(height: int, width: int) -> Sample:
    """Red and label are the row, green is the column."""
    rows = torch.arange(height, dtype=torch.uint8).view(-1, 1).expand(height, width)
    columns = torch.arange(width, dtype=torch.uint8).view(1, -1).expand(height, width)
    return Sample(torch.stack([rows, columns, rows]), rows.contiguous(), None, "picture")


def numbers(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def halves(share: float) -> Sample:
    """Class 0 in the upper share of the rows, class 1 below."""
    label = torch.zeros(100, 20, dtype=torch.uint8)
    label[round(share * 100) :] = 1
    return Sample(torch.zeros(3, 100, 20, dtype=torch.uint8), label, None, "halves")


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_without_resizing_every_pixel_is_exact(
    height: int, width: int, rows: int, columns: int, seed: int
) -> None:
    piece = RandomCrop((rows, columns), fill=FILL)(whole(height, width), numbers(seed))
    assert piece.label is not None and piece.valid is not None
    assert piece.image.shape == (3, rows, columns) and piece.label.shape == piece.valid.shape == (
        rows,
        columns,
    )
    assert torch.equal(piece.label[piece.valid], piece.image[0][piece.valid])
    assert (piece.label[~piece.valid] == IGNORE).all() and (piece.image[1][~piece.valid] == 251).all()
    assert int(piece.valid.sum()) == min(height, rows) * min(width, columns)
    steps = piece.image[1][piece.valid].view(min(height, rows), -1).int().diff(dim=1)
    assert steps.numel() == 0 or steps.unique().tolist() in ([1], [-1])


@settings(max_examples=40, deadline=None)
@given(st.floats(0.3, 3.0), st.integers(0, 99))
def test_resized_image_and_label_show_the_same_place(factor: float, seed: int) -> None:
    crop = RandomCrop((24, 24), fill=FILL, resize=(50, 70), scale=(factor, factor))
    piece = crop(whole(60, 90), numbers(seed))
    assert piece.label is not None and piece.valid is not None
    apart = (piece.image[0].int() - piece.label.int())[piece.valid].abs()
    assert int(apart.max()) <= 1 + int(max(1.0, 60 / (50 * factor)) / 2)


def test_the_same_numbers_give_the_same_piece_and_others_another() -> None:
    crop = RandomCrop((10, 10), fill=FILL, scale=(0.5, 2.0))
    first, again, other = (crop(whole(50, 50), numbers(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.image, again.image) and not torch.equal(first.image, other.image)


def test_every_offset_and_both_orientations_occur() -> None:
    crop, generator = RandomCrop((3, 4), fill=FILL), numbers()
    seen = {tuple(crop(whole(5, 6), generator).image[:2, 0, 0].tolist()) for _ in range(300)}
    assert seen == {(row, column) for row in range(3) for column in range(6)}
    never = RandomCrop((3, 4), fill=FILL, flip=0)
    assert all(torch.equal(never(whole(3, 4), generator).image, whole(3, 4).image) for _ in range(20))


def test_a_crop_with_too_much_of_one_class_is_refused() -> None:
    strict = RandomCrop((20, 20), fill=FILL, max_share=0.75)
    lax = RandomCrop((20, 20), fill=FILL)
    generator = numbers()

    def good(crop: RandomCrop) -> float:
        pieces = [crop(halves(0.5), generator).label for _ in range(200)]
        return sum(5 < int((piece == 0).sum()) // 20 < 15 for piece in pieces if piece is not None) / 200

    # 9 of 81 offsets are balanced: one look finds 11 in 100, eleven looks 1 - (72 / 81) ** 11 = 73.
    assert good(lax) < 0.25
    assert 0.6 < good(strict) < 0.85


def test_ignored_pixels_do_not_count_as_a_class() -> None:
    sample = halves(0.5)
    assert sample.label is not None
    sample.label[:50] = IGNORE
    piece = RandomCrop((100, 20), fill=FILL, max_share=0.75)(sample, numbers())
    assert piece.label is not None, "the last draw is taken although no crop can pass"


def test_the_wanted_class_is_looked_for() -> None:
    sample = halves(0.95)
    crop = RandomCrop((10, 20), fill=FILL, min_share=0.01, min_crop_ratio=0.5)
    needed = 0.01 * 100 * 20 * 0.5
    generator = numbers()
    found = [crop(sample, generator, wanted=1).label for _ in range(200)]
    by_chance = [crop(sample, generator).label for _ in range(200)]
    # 5 of 91 offsets show the class: 5 in 100 by chance, 1 - (86 / 91) ** 11 = 46 with eleven looks.
    assert sum(int((label == 1).sum()) > needed for label in by_chance if label is not None) < 30
    assert sum(int((label == 1).sum()) > needed for label in found if label is not None) > 60


def test_a_class_that_cannot_be_found_is_given_up_after_ten_looks() -> None:
    drawn = numbers()
    RandomCrop((10, 20), fill=FILL, flip=0.5)(halves(1.0), drawn, wanted=1)
    expected = numbers()
    for _ in range(11):
        torch.randint(0, 91, (), generator=expected)
        torch.rand((), generator=expected, dtype=torch.float64)
    assert torch.equal(drawn.get_state(), expected.get_state())


def test_unlabelled_pictures_stay_unlabelled() -> None:
    sample = whole(20, 20)
    sample.label = None
    piece = RandomCrop((8, 8), fill=FILL, max_share=0.5)(sample, numbers())
    assert piece.label is None and piece.valid is not None and piece.valid.all()


def test_margins_are_shares_of_the_whole_picture() -> None:
    margins = Margins(top=30 / 1024, bottom=240 / 1024, left=30 / 2048, right=30 / 2048)
    sample = Sample(torch.zeros(3, 1024, 2048, dtype=torch.uint8), None, None, "street")
    full = RandomCrop((1024, 2048), fill=FILL, margins=margins)(sample, numbers()).valid
    half = RandomCrop((512, 1024), fill=FILL, resize=(512, 1024), margins=margins)(sample, numbers()).valid
    assert full is not None and half is not None
    assert full[30:784, 30:2018].all() and int(full.sum()) == 754 * 1988
    assert half[15:392, 15:1009].all() and int(half.sum()) == 377 * 994


def test_valid_given_by_the_data_set_is_kept() -> None:
    sample = whole(6, 6)
    sample.valid = torch.eye(6, dtype=torch.bool)
    piece = RandomCrop((6, 6), fill=FILL, flip=0, margins=Margins(top=0.5))(sample, numbers())
    assert piece.valid is not None and piece.valid.nonzero().tolist() == [[3, 3], [4, 4], [5, 5]]
    assert sample.valid.diagonal().all()


def test_image_and_label_of_different_size_are_named() -> None:
    sample = whole(6, 8)
    sample.label = torch.zeros(8, 6, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"^picture: the image is 8x6 but its label 6x8 .*same size$"):
        RandomCrop((4, 4), fill=FILL)(sample, numbers())


@pytest.mark.parametrize(
    "bad",
    [
        {"size": (0, 4)}, {"resize": (4, 0)}, {"scale": (2.0, 1.0)}, {"scale": (0.0, 1.0)}, {"flip": 1.5},
        {"max_share": 0.0}, {"min_share": 1.0}, {"min_crop_ratio": -1.0},
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match=r"\d"):
        RandomCrop(**{"size": (4, 4), "fill": FILL, **bad})


@pytest.mark.parametrize("bad", [{"top": -0.1}, {"top": 0.5, "bottom": 0.5}, {"left": 1.0}])
def test_margins_that_leave_nothing_are_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match=r"Margins|margins"):
        Margins(**bad)


def spotted(height: int, width: int, spots: list[tuple[int, int, int]]) -> Sample:
    """Class 0 but for single pixels (row, column, class); red is the row, green the column."""
    sample = whole(height, width)
    label = torch.zeros(height, width, dtype=torch.uint8)
    for row, column, name in spots:
        label[row, column] = name
    return Sample(sample.image, label, None, "spotted")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 49), st.integers(0, 79), st.floats(0.5, 1.5), st.integers(0, 99))
def test_a_mined_pixel_is_in_the_middle_as_far_as_the_border_allows(
    row: int, column: int, factor: float, seed: int
) -> None:
    crop = RandomCrop((20, 30), fill=FILL, scale=(factor, factor), flip=0.0, mined=[3], mine_chance=1.0)
    place = crop._place(50, 80, numbers(seed), (row, column))
    for axis, pixel in ((place.rows, row), (place.columns, column)):
        middle = pixel * axis.resized // axis.length - axis.start
        if axis.resized <= axis.size:
            assert axis.start == 0
        elif middle != axis.size // 2:
            assert axis.start == (0 if middle < axis.size // 2 else axis.resized - axis.size)
    piece = crop(spotted(50, 80, [(row, column, 3)]), numbers(seed))
    assert piece.label is not None
    assert factor < 1 or bool((piece.label == 3).any())


def test_mining_chooses_among_the_classes_that_are_there_and_not_always() -> None:
    crop = RandomCrop((9, 9), fill=FILL, flip=0.0, mined=[3, 4, 5], mine_chance=0.8)
    sample = spotted(60, 60, [(10, 10, 3), (50, 50, 5), (50, 10, 6)])
    generator = numbers()
    middles = [int(crop(sample, generator).label[4, 4]) for _ in range(1000)]
    assert {name: round(middles.count(name) / 1000, 1) for name in (3, 4, 5, 6)} == {
        3: 0.4,
        4: 0,
        5: 0.4,
        6: 0,
    }


def test_without_a_mined_class_pieces_are_cut_anywhere() -> None:
    crop = RandomCrop((9, 9), fill=FILL, mined=[7], mine_chance=1.0)
    sample = spotted(60, 60, [(10, 10, 3)])
    corners = {
        (int(piece.image[0, 0, 0]), int(piece.image[1].min()))
        for piece in (crop(sample, numbers(s)) for s in range(40))
    }
    assert len(corners) > 30


def test_recipes_without_mining_draw_what_they_drew() -> None:
    plain, unused = (
        RandomCrop((9, 9), fill=FILL, scale=(0.5, 1.5), **more) for more in ({}, {"mine_chance": 0.8})
    )
    for seed in range(5):
        assert torch.equal(
            plain(whole(40, 50), numbers(seed)).image, unused(whole(40, 50), numbers(seed)).image
        )
