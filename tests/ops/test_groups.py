"""Group masks have the form and the shares that their names promise."""

import pytest
import torch

from segue.ops import groups

CPU = torch.device("cpu")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_random_is_half_of_the_cells_and_differs_between_domains() -> None:
    masks = groups.random_groups((4, 128, 256), device=CPU, generator=seeded())
    assert masks.shape == (2, 4, 128, 256) and masks.dtype == torch.uint8
    assert (masks.float().mean((2, 3)) == 0.5).all()
    cells = masks[:, :, ::32, ::32]
    assert torch.equal(cells.repeat_interleave(32, 2).repeat_interleave(32, 3), masks)
    assert not torch.equal(masks[0], masks[1])


@pytest.mark.parametrize("anywhere", [False, True])
def test_halves_are_two_rectangles(anywhere: bool) -> None:
    masks = groups.halves((200, 64, 128), anywhere=anywhere, device=CPU, generator=seeded())
    assert torch.equal(masks[0], masks[1])
    rows_equal = (masks[0] == masks[0][:, :1]).all((1, 2))  # cut from top to bottom: all rows alike
    columns_equal = (masks[0] == masks[0][:, :, :1]).all((1, 2))
    assert (rows_equal ^ columns_equal).all()
    assert 0.3 < rows_equal.float().mean() < 0.7
    share = masks[0].float().mean((1, 2))
    assert (share == 0.5).all() != anywhere
    assert (share > 0).all() and (share < 1).all()


def test_cutout_is_a_rectangle_of_the_stated_area() -> None:
    masks = groups.cutout((200, 96, 128), device=CPU, generator=seeded())
    assert torch.equal(masks[0], masks[1])
    for mask in masks[0].bool():
        rows, columns = mask.any(1), mask.any(0)
        assert torch.equal(mask, rows[:, None] & columns[None, :])
        assert 0.2 < mask.float().mean() < 0.75
    assert masks[0].float().mean((1, 2)).std() > 0.05


def label() -> torch.Tensor:
    columns = torch.tensor([0, 3, 7, 255, 9]).repeat_interleave(20)
    return columns.expand(3, 40, -1).clone()


def test_semantic_keeps_classes_whole_and_copies_the_source_s_mask() -> None:
    source = label()
    masks = groups.semantic(source, generator=seeded())
    assert torch.equal(masks[0], masks[1])
    for picture, mask in zip(source, masks[0], strict=True):
        sides = [mask[picture == value].unique().tolist() for value in picture.unique()]
        assert all(len(side) == 1 for side in sides)
        assert sum(side == [1] for side in sides) == 3  # half of five, rounded up
    assert len({tuple(mask.flatten().tolist()) for mask in masks[0]}) > 1


def test_semantic_by_the_target_s_own_label() -> None:
    source = label()
    masks = groups.semantic(source, source.flip(2), generator=seeded())
    assert torch.equal(masks[1], masks[0].flip(2))


def test_scattering_all_classes_is_a_coin_for_every_pixel() -> None:
    source = label()
    masks = groups.semantic(source, scattered=5, generator=seeded())
    for value in source.unique():
        assert abs(float(masks[0][source == value].float().mean()) - 0.5) < 0.05
    some = groups.semantic(source, scattered=2, generator=seeded())[0]
    whole = [
        len(mask[picture == value].unique()) == 1
        for picture, mask in zip(source, some, strict=True)
        for value in picture.unique()
    ]
    assert sum(whole) == 3 * 3


def test_one_class_is_one_group() -> None:
    masks = groups.semantic(torch.full((2, 8, 8), 4), generator=seeded())
    assert masks.eq(1).all()
