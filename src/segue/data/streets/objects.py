"""What stands in a street: cars, people, bicycles, trees, poles with what they carry, and rails."""

from dataclasses import dataclass
from functools import lru_cache

from segue.data.streets.canvas import (
    AMBER,
    BARK,
    BICYCLE,
    CAR,
    FENCE,
    FRAME,
    GLASS,
    GREEN,
    HAIR,
    HEAD_LAMP,
    HOUSING,
    LEAF,
    LIGHT,
    METAL,
    PAINT,
    PERSON,
    POLE,
    RAIL,
    RED,
    RIM,
    SHIRT,
    SIGN,
    SIGN_FACE,
    SIGN_MARK,
    SKIN,
    SPOKES,
    TAIL_LAMP,
    TROUSERS,
    TYRE,
    VEGETATION,
    Canvas,
    Dice,
    Point,
    Range,
)

Place = tuple[float, float]
"""Metres right of the camera and ahead of it."""

FAR = 26.0
"""Beyond this depth in metres, small parts of things are left out, as they would cover less than a pixel."""

CIRCLE = (
    (1.0, 0.0), (0.924, 0.383), (0.707, 0.707), (0.383, 0.924), (0.0, 1.0), (-0.383, 0.924), (-0.707, 0.707),
    (-0.924, 0.383), (-1.0, 0.0), (-0.924, -0.383), (-0.707, -0.707), (-0.383, -0.924), (0.0, -1.0),
    (0.383, -0.924), (0.707, -0.707), (0.924, -0.383),
)  # fmt: skip
"""Sixteen directions, written out because sines may differ in the last bit between machines."""


@lru_cache(maxsize=1)
def ragged_outlines() -> list[list[tuple[float, float]]]:
    """Outlines of foliage around the unit circle, made once: a new one each time would cost more than its painting."""
    dice = Dice((3,))
    radii = [[dice.within((0.8, 1.18)) for _ in CIRCLE] for _ in range(64)]
    return [[(r * x, r * y) for r, (x, y) in zip(row, CIRCLE, strict=True)] for row in radii]


def draw_tree(canvas: Canvas, dice: Dice, *, place: Place, height: float) -> None:
    """A tree: trunk and ragged crown, both vegetation."""
    x, z = place
    stem = height * dice.within((0.25, 0.42))
    wide = height * dice.within((0.2, 0.32))
    tint = dice.share()
    trunk = canvas.front(z, VEGETATION, material=BARK, tint=tint)
    canvas.box(trunk, x=(x - 0.14, x + 0.14), y=(0, stem + 0.6), z=z)
    canvas.shadow((x - wide * 0.8, x + wide * 0.8), (z - 0.7, z + 1.5), strength=90)
    crown = (wide, (height - stem) / 2 + 0.3)
    draw_foliage(canvas, dice, centre=(x, (stem + height) / 2, z), radius=crown, tint=tint)
    if z < FAR:
        lit = (x + dice.within((-0.4, 0.4)) * wide, stem + (height - stem) * 0.66, z)
        draw_foliage(
            canvas, dice, centre=lit, radius=(wide * 0.55, (height - stem) * 0.27), tint=(tint + 0.13) % 1
        )


def draw_foliage(canvas: Canvas, dice: Dice, *, centre: Point, radius: Range, tint: float) -> None:
    """A ragged mass of leaves with its half width and half height in metres."""
    leaf = canvas.front(centre[2], VEGETATION, material=LEAF, tint=tint)
    canvas.outline(leaf, centre, points=ragged_outlines()[dice.whole(64)], stretch=radius)


@dataclass(frozen=True)
class Body:
    """The box that a car fills, in metres.

    Attributes:
        x: Middle.
        half: Half of its width.
        face: The plane of the visible flank.
        z: Near and far end.
        belt: Height of the lower edge of the windows.
        tall: Height of the roof.
    """

    x: float
    half: float
    face: float
    z: Range
    belt: float
    tall: float


def draw_car(canvas: Canvas, dice: Dice, *, place: Place, oncoming: bool) -> None:
    """A car along the street with its near end at the place; oncoming ones show their front."""
    x, z = place
    tall = dice.within((1.35, 1.6)) if dice.chance(0.75) else dice.within((1.75, 2.1))
    body = Body(x, 0.88, x - 0.88 if x > 0 else x + 0.88, (z, z + 4.2), 0.56 * tall, tall)
    tint = dice.share()
    canvas.shadow((x - 1.03, x + 1.13), (z - 0.25, z + 4.4), strength=165)
    paint = canvas.front(z, CAR, material=PAINT, tint=tint)
    glass = canvas.front(z + 0.5, CAR, material=GLASS, tint=tint)
    if canvas.camera.height > body.belt and z < FAR:
        top = canvas.flat(body.belt, CAR, material=PAINT, tint=tint)
        canvas.level(top, x=(x - 0.88, x + 0.88), y=body.belt, z=body.z)
    seen = abs(x) > 0.95
    flank = canvas.side(body.face, CAR, material=PAINT, tint=tint) if seen else paint
    if seen:
        canvas.upright(flank, body.face, y=(0.3, body.belt), z=body.z)
    draw_cabin(canvas, body, parts=(paint, flank, glass), oncoming=oncoming, seen=seen)
    canvas.box(paint, x=(x - 0.88, x + 0.88), y=(0.28, body.belt), z=z)
    draw_wheels(canvas, body, seen=seen)
    draw_lamps(canvas, body, tint=dice.share(), oncoming=oncoming)


def draw_cabin(
    canvas: Canvas, body: Body, *, parts: tuple[int, int, int], oncoming: bool, seen: bool
) -> None:
    """A car's upper half: roof, side windows and the sloped pane towards the camera."""
    paint, flank, glass = parts
    x, half, face, y, tall = body.x, body.half, body.face, body.belt, body.tall
    near = body.z[0] + (1.0 if oncoming else 0.35)
    far = body.z[1] - (0.35 if oncoming else 1.0)
    inset = 0.16 if face < x else -0.16
    top, upper = (near + 0.45, far - 0.45), tall - 0.1
    if seen:
        roof = [(face + inset, tall, top[0]), (face + inset, tall, top[1])]
        canvas.polygon(flank, [(face, y, near), *roof, (face, y, far)])
        pane = [(face + inset, upper, top[0] + 0.15), (face + inset, upper, top[1] - 0.15)]
        canvas.polygon(glass, [(face, y, near + 0.35), *pane, (face, y, far - 0.35)])
    roof = [(x - half + 0.16, tall, top[0]), (x + half - 0.16, tall, top[0])]
    canvas.polygon(paint, [(x - half, y, near), *roof, (x + half, y, near)])
    pane = [(x - half + 0.24, upper, top[0]), (x + half - 0.24, upper, top[0])]
    canvas.polygon(glass, [(x - half + 0.1, y, near), *pane, (x + half - 0.1, y, near)])


def draw_wheels(canvas: Canvas, body: Body, *, seen: bool) -> None:
    """The near pair from behind, and two on the visible flank."""
    z = body.z[0]
    tyre = canvas.front(z, CAR, material=TYRE, tint=0.5)
    for x in (body.x - body.half + 0.05, body.x + body.half - 0.27):
        canvas.box(tyre, x=(x, x + 0.22), y=(0, 0.3), z=z + 0.05)
    if not seen:
        return
    for axle in (z + 0.75, body.z[1] - 0.75):
        squeeze = min(abs(body.face) / axle, 1.0) * 0.33 + 0.03
        canvas.disc(tyre, (body.face, 0.33, axle), radius=(squeeze, 0.33))


def draw_lamps(canvas: Canvas, body: Body, *, tint: float, oncoming: bool) -> None:
    """A pair of lamps and a number plate."""
    z = body.z[0]
    lamp = canvas.front(z, CAR, material=HEAD_LAMP if oncoming else TAIL_LAMP, tint=tint)
    y = (0.5, 0.66) if oncoming else (body.belt - 0.24, body.belt - 0.04)
    for x in (body.x - body.half, body.x + body.half - 0.28):
        canvas.box(lamp, x=(x, x + 0.28), y=y, z=z)
    if z < FAR:
        plate = canvas.front(z, CAR, material=RIM, tint=0.9)
        canvas.box(plate, x=(body.x - 0.26, body.x + 0.26), y=(0.42, 0.54), z=z)


def draw_crossing_car(canvas: Canvas, dice: Dice, *, place: Place) -> None:
    """A car seen from its side, on a cross street."""
    x, z = place
    way = 1 if dice.chance(0.5) else -1
    tint = dice.share()
    tall, tail = dice.within((1.35, 1.75)), dice.within((1.9, 2.15))
    belt = 0.58 * tall
    paint = canvas.front(z, CAR, material=PAINT, tint=tint)
    glass = canvas.front(z, CAR, material=GLASS, tint=tint)
    canvas.shadow((x - 2.2, x + 2.2), (z - 0.2, z + 1.7), strength=165)
    canvas.box(paint, x=(x - 2.1, x + 2.1), y=(0.3, belt), z=z)
    cabin = ((-tail + 0.1, belt), (-1.4, tall), (0.5, tall), (1.25, belt))
    canvas.outline(paint, (x, 0, z), points=cabin, stretch=(way, 1))
    panes = ((-1.6, belt), (-1.25, tall - 0.12), (0.42, tall - 0.12), (1.0, belt))
    canvas.outline(glass, (x, 0, z), points=panes, stretch=(way, 1))
    canvas.box(paint, x=(x - 0.45, x - 0.35), y=(belt, tall), z=z)
    tyre = canvas.front(z, CAR, material=TYRE, tint=0.5)
    rim = canvas.front(z, CAR, material=RIM, tint=0.4)
    for dx in (-1.3, 1.3):
        canvas.disc(tyre, (x + dx, 0.33, z), radius=(0.34, 0.34))
        canvas.disc(rim, (x + dx, 0.33, z), radius=(0.17, 0.17))


def draw_person(canvas: Canvas, dice: Dice, *, place: Place) -> None:
    """A walker: two legs, a body with arms, a head with hair."""
    x, z = place
    at = (x, 0.0, z)
    tall = dice.within((1.55, 1.9)) if dice.chance(0.85) else dice.within((1.05, 1.4))
    hip, neck, wide = 0.5 * tall, 0.84 * tall, 0.155 * tall
    canvas.shadow((x - 0.35, x + 0.35), (z - 0.3, z + 0.35), strength=120)
    trousers = canvas.front(z, PERSON, material=TROUSERS, tint=dice.share())
    foot = dice.within((0.09, 0.31))
    right = [(0.15, hip), (foot + 0.09, 0), (foot - 0.09, 0), (0.0, hip * 0.75)]
    left = [(0.09 - foot, 0), (-foot - 0.09, 0), (-0.15, hip)]
    canvas.outline(trousers, at, points=[*right, *left])
    shirt = canvas.front(z, PERSON, material=SHIRT, tint=dice.share())
    waist, shoulder = wide * 0.8, neck - 0.06
    hand, other = wide + dice.within((0.05, 0.17)), wide + dice.within((0.05, 0.17))
    right = [(waist, hip - 0.1), (waist, hip + 0.2), (hand - 0.05, hip), (hand + 0.07, hip), (wide, shoulder)]
    left = [
        (-wide, shoulder),
        (-other - 0.07, hip),
        (0.05 - other, hip),
        (-waist, hip + 0.2),
        (-waist, hip - 0.1),
    ]
    canvas.outline(shirt, at, points=[*right, *left])
    skin = canvas.front(z, PERSON, material=SKIN, tint=dice.share())
    canvas.disc(skin, (x, neck + 0.08 * tall, z), radius=(0.062 * tall, 0.08 * tall))
    if z < FAR:
        hair = canvas.front(z, PERSON, material=HAIR, tint=dice.share())
        canvas.box(
            hair, x=(x - 0.06 * tall, x + 0.06 * tall), y=(neck + 0.11 * tall, neck + 0.165 * tall), z=z
        )


def draw_bicycle(canvas: Canvas, dice: Dice, *, place: Place) -> None:
    """A bicycle from its side: two wheels, a frame, handlebar and saddle."""
    x, z = place
    way = 1 if dice.chance(0.5) else -1
    reach = dice.within((0.42, 0.56))
    tyre = canvas.front(z, BICYCLE, material=TYRE, tint=0.5)
    spokes = canvas.front(z, BICYCLE, material=SPOKES, tint=0.5)
    frame = canvas.front(z, BICYCLE, material=FRAME, tint=dice.share())
    canvas.shadow((x - 0.9, x + 0.9), (z - 0.2, z + 0.3), strength=90)
    for dx in (-reach, reach):
        canvas.disc(tyre, (x + dx, 0.35, z), radius=(0.36, 0.36))
        canvas.disc(spokes, (x + dx, 0.35, z), radius=(0.25, 0.25))
    ends = ((-reach, 0.35), (-0.05, 0.32), (0.72 * reach, 0.85), (-0.2, 0.8), (-0.05, 0.32))
    fork = ((reach, 0.35), (0.66 * reach, 1.02), (0.4 * reach, 1.05))
    post = ((-0.2, 0.7), (-0.24, 0.95))
    for tubes in (ends, fork, post):
        canvas.line(frame, (x, 0.0, z), points=[(way * dx, y) for dx, y in tubes], thickness=0.07)
    saddle = x - way * 0.24
    canvas.box(tyre, x=(saddle - 0.14, saddle + 0.14), y=(0.92, 1.0), z=z)


def draw_lamp_post(canvas: Canvas, dice: Dice, *, place: Place, height: float) -> None:
    """A street lamp whose arm reaches over the road."""
    x, z = place
    metal = canvas.front(z, POLE, material=METAL, tint=dice.share())
    canvas.box(metal, x=(x - 0.14, x + 0.14), y=(0, height), z=z)
    end = -1.9 if x > 0 else 1.9
    canvas.line(metal, (x, height, z), points=[(0, -0.1), (end, 0.35)], thickness=0.14)
    canvas.box(metal, x=(x + end - 0.3, x + end + 0.3), y=(height + 0.22, height + 0.42), z=z)


def draw_traffic_light(canvas: Canvas, dice: Dice, *, place: Place, gantry: float) -> None:
    """A light on a pole; a positive ``gantry`` is the length of an arm with a second light over the road."""
    x, z = place
    metal = canvas.front(z, POLE, material=METAL, tint=dice.share())
    phase = dice.whole(3)
    if gantry:
        end = x - gantry if x > 0 else x + gantry
        canvas.box(metal, x=(x - 0.12, x + 0.12), y=(0, 6.0), z=z)
        canvas.box(metal, x=(min(x, end), max(x, end)), y=(5.75, 5.92), z=z)
        draw_signal(canvas, (end, 5.3, z), phase=phase)
    else:
        canvas.box(metal, x=(x - 0.09, x + 0.09), y=(0, 2.9), z=z)
    draw_signal(canvas, (x, 3.1, z), phase=phase)


def draw_signal(canvas: Canvas, at: Point, *, phase: int) -> None:
    """A housing with three lamps, of which one is lit."""
    x, y, z = at
    housing = canvas.front(z, LIGHT, material=HOUSING, tint=0.5)
    canvas.box(housing, x=(x - 0.3, x + 0.3), y=(y - 0.6, y + 0.85), z=z)
    for row, material in enumerate((GREEN, AMBER, RED)):
        lamp = canvas.front(z, LIGHT, material=material, tint=0.9 if row == phase else 0.1)
        canvas.disc(lamp, (x, y - 0.32 + 0.44 * row, z), radius=(0.19, 0.19))


def draw_sign(canvas: Canvas, dice: Dice, *, place: Place) -> None:
    """A round, square or three-cornered sign on a pole; its tint tells red from blue from yellow."""
    x, z = place
    metal = canvas.front(z, POLE, material=METAL, tint=dice.share())
    tall, radius = dice.within((2.2, 3.0)), dice.within((0.38, 0.5))
    canvas.box(metal, x=(x - 0.08, x + 0.08), y=(0, tall), z=z)
    shape, tint = dice.whole(3), dice.share()
    face = canvas.front(z, SIGN, material=SIGN_FACE, tint=tint)
    mark = canvas.front(z, SIGN, material=SIGN_MARK, tint=tint)
    for part, share in ((face, 1.0), (mark, 0.55)):
        size = radius * share
        if shape == 0:
            canvas.disc(part, (x, tall, z), radius=(size, size))
        elif shape == 1:
            canvas.box(part, x=(x - size, x + size), y=(tall - size, tall + size), z=z)
        else:
            canvas.outline(part, (x, tall, z), points=TRIANGLE, stretch=(1.15 * size, 1.15 * size))


TRIANGLE = ((-1.0, -0.7), (1.0, -0.7), (0.0, 1.0))
"""A warning sign."""


def draw_rail(canvas: Canvas, x: float, *, z: Range, tall: float, tint: float) -> None:
    """A piece of fence along the street; the gaps between its pickets are fence, too."""
    rail = canvas.side(x, FENCE, material=RAIL, tint=tint)
    canvas.upright(rail, x, y=(0, tall), z=z)
