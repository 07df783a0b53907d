"""The canvas is a pinhole camera: things shrink with depth, and every pixel knows how far away it is."""

import numpy as np
import pytest

from segue.data.streets.canvas import CAR, METAL, PAVING, POLE, SIDEWALK, Camera, Canvas, Dice

CAMERA = Camera(height=1.5, focal=100.0, column=64.0, horizon=32.0)


@pytest.fixture
def canvas() -> Canvas:
    canvas = Canvas(CAMERA, (64, 128))
    canvas.flat(0, SIDEWALK, material=PAVING, tint=0.5)
    return canvas


def columns(canvas: Canvas, part: int) -> int:
    """The greatest width of a part in pixels."""
    return int((canvas.pixels()[0] == part).sum(axis=1).max())


def test_a_thing_twice_as_far_looks_half_as_wide(canvas: Canvas) -> None:
    near = canvas.front(5, CAR, material=METAL, tint=0.5)
    canvas.box(near, x=(-1, 1), y=(0, 0.7), z=5)
    far = canvas.front(10, CAR, material=METAL, tint=0.5)
    canvas.box(far, x=(-1, 1), y=(1.0, 2.0), z=10)
    assert columns(canvas, near) == 40
    assert columns(canvas, far) == 20


def test_a_box_never_vanishes(canvas: Canvas) -> None:
    part = canvas.front(90, POLE, material=METAL, tint=0.5)
    canvas.box(part, x=(0, 0.1), y=(0, 6), z=90)
    assert columns(canvas, part) == 1


def test_what_is_painted_later_covers_what_was_there(canvas: Canvas) -> None:
    behind, before = (canvas.front(z, CAR, material=METAL, tint=0.5) for z in (9, 6))
    canvas.box(behind, x=(-1, 1), y=(0, 1), z=9)
    canvas.box(before, x=(-3, 3), y=(0, 3), z=6)
    assert columns(canvas, behind) == 0


def test_the_three_planes_know_their_depth(canvas: Canvas) -> None:
    # 50 columns right of the vanishing point the wall x = 4 is 4 * 100 / 50 = 8 m away;
    # 30 rows below it the ground is 1.5 * 100 / 30 = 5 m away.
    canvas.side(4.0, CAR, material=METAL, tint=0.5)
    canvas.front(7.0, CAR, material=METAL, tint=0.5)
    nearness = [constant + across * 50 + down * 30 for *_, constant, across, down in canvas.parts]
    assert nearness == pytest.approx([1 / 5, 1 / 8, 1 / 7])


def test_what_is_out_of_sight_is_known_to_be(canvas: Canvas) -> None:
    assert canvas.sees(0.0, 10.0, 0.1)
    assert not canvas.sees(20.0, 10.0, 1.0)
    assert canvas.sees(20.0, 10.0, 15.0)


def test_dice_are_fair_and_repeat() -> None:
    dice, again = Dice((3, 1)), Dice((3, 1))
    numbers = [dice.within((2, 6)) for _ in range(3000)]
    assert numbers == [again.within((2, 6)) for _ in range(3000)]
    assert np.mean(numbers) == pytest.approx(4, abs=0.1)
    assert {dice.whole(3) for _ in range(50)} == {0, 1, 2}
    assert numbers != [Dice((3, 2)).within((2, 6)) for _ in range(3000)]
