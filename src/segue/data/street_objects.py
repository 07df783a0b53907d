"""What stands in a street: cars, people, bicycles, trees, poles with what they carry, and rails."""

from functools import lru_cache

from segue.data.street_canvas import (
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
"""Beyond this depth in metres small parts of things are left out: they would cover less than a pixel."""


@lru_cache(maxsize=1)
def ragged_outlines() -> list[list[tuple[float, float]]]:
    """Outlines of leaf masses in the unit circle; drawing a new one each time would cost more than painting it."""
    dice = Dice((3,))
    return [[(r * c, r * s) for c, s in CIRCLE for r in (dice.within((0.8, 1.18)),)] for _ in range(64)]


CIRCLE = (
    (1.0, 0.0), (0.924, 0.383), (0.707, 0.707), (0.383, 0.924), (0.0, 1.0), (-0.383, 0.924), (-0.707, 0.707),
    (-0.924, 0.383), (-1.0, 0.0), (-0.924, -0.383), (-0.707, -0.707), (-0.383, -0.924), (0.0, -1.0),
    (0.383, -0.924), (0.707, -0.707), (0.924, -0.383),
)  # fmt: skip
"""Sixteen directions, written out because sines may differ in the last bit between machines."""


def draw_tree(canvas: Canvas, dice: Dice, place: Place, height: float) -> None:
    """A tree: trunk and ragged crown, both vegetation."""
    x, z = place
    stem = height * dice.within((0.25, 0.42))
    wide = height * dice.within((0.2, 0.32))
    tint = dice.share()
    trunk = canvas.front(z, VEGETATION, BARK, tint=tint)
    canvas.box(trunk, (x - 0.14, x + 0.14), (0, stem + 0.6), z)
    canvas.shadow((x - wide * 0.8, x + wide * 0.8), (z - 0.7, z + 1.5), 90)
    draw_foliage(canvas, dice, (x, (stem + height) / 2, z), (wide, (height - stem) / 2 + 0.3), tint)
    if z < FAR:
        lit = (x + dice.within((-0.4, 0.4)) * wide, stem + (height - stem) * 0.66, z)
        draw_foliage(canvas, dice, lit, (wide * 0.55, (height - stem) * 0.27), (tint + 0.13) % 1)


def draw_foliage(canvas: Canvas, dice: Dice, centre: Point, radius: Range, tint: float) -> None:
    """A ragged mass of leaves with its half width and half height in metres."""
    leaf = canvas.front(centre[2], VEGETATION, LEAF, tint=tint)
    wide, high = radius
    canvas.outline(leaf, centre, [(x * wide, y * high) for x, y in ragged_outlines()[dice.whole(64)]])


def draw_car(canvas: Canvas, dice: Dice, place: Place, *, oncoming: bool) -> None:
    """A car at (x, z of its near end) that stands along the street; oncoming ones show their front."""
    x, z = place
    tall = dice.within((1.35, 1.6)) if dice.chance(0.75) else dice.within((1.75, 2.1))
    half, length, belt = 0.88, 4.2, 0.56 * tall
    tint = dice.share()
    near, far = z, z + length
    face = x - half if x > 0 else x + half
    canvas.shadow((x - half - 0.15, x + half + 0.25), (near - 0.25, far + 0.2), 165)
    paint = canvas.front(near, CAR, PAINT, tint=tint)
    flank = canvas.side(face if abs(face) > 0.05 else 0.05, CAR, PAINT, tint=tint)
    glass = canvas.front(near + 0.5, CAR, GLASS, tint=tint)
    if canvas.camera.height > belt:
        top = canvas.flat(belt, CAR, PAINT, tint=tint)
        canvas.level(top, (x - half, x + half), belt, (near, far))
    seen = abs(x) > half
    if seen:
        canvas.upright(flank, face, (0.3, belt), (near, far))
    hood = 1.0 if oncoming else 0.35
    rear = far - (0.35 if oncoming else 1.0)
    draw_cabin(canvas, (x, half, face), (belt, tall), (near + hood, rear), (paint, flank, glass), seen=seen)
    canvas.box(paint, (x - half, x + half), (0.28, belt), near)
    if z < 2 * FAR:
        draw_wheels(canvas, (x, half, face), (near, far), seen=seen)
        draw_lamps(canvas, dice, (x, half, near), belt, oncoming=oncoming)


def draw_cabin(
    canvas: Canvas, across: tuple[float, float, float], y: Range, z: Range, parts: tuple[int, int, int], *, seen: bool
) -> None:
    """A car's upper half: roof, side windows and the sloped pane towards the camera."""
    x, half, face = across
    paint, flank, glass = parts
    slope = 0.45
    inset = 0.16 if face < x else -0.16
    top, upper = (z[0] + slope, z[1] - slope), y[1] - 0.1
    if seen:
        pillars = [(face, y[0], z[0]), (face + inset, y[1], top[0]), (face + inset, y[1], top[1]), (face, y[0], z[1])]
        canvas.polygon(flank, pillars)
        low, high = z[0] + 0.35, z[1] - 0.35
        window = [(face, y[0], low), (face + inset, upper, top[0] + 0.15), (face + inset, upper, top[1] - 0.15)]
        canvas.polygon(glass, [*window, (face, y[0], high)])
    corners = [(x - half, y[0], z[0]), (x - half + 0.16, y[1], top[0]), (x + half - 0.16, y[1], top[0])]
    canvas.polygon(paint, [*corners, (x + half, y[0], z[0])])
    pane = [(x - half + 0.1, y[0], z[0]), (x - half + 0.24, upper, top[0]), (x + half - 0.24, upper, top[0])]
    canvas.polygon(glass, [*pane, (x + half - 0.1, y[0], z[0])])


def draw_wheels(canvas: Canvas, across: tuple[float, float, float], z: Range, *, seen: bool) -> None:
    """The near pair from behind, and two on the visible flank."""
    x, half, face = across
    tyre = canvas.front(z[0], CAR, TYRE)
    canvas.box(tyre, (x - half + 0.05, x - half + 0.27), (0, 0.3), z[0] + 0.05)
    canvas.box(tyre, (x + half - 0.27, x + half - 0.05), (0, 0.3), z[0] + 0.05)
    if seen:
        for axle in (z[0] + 0.75, z[1] - 0.75):
            squeeze = min(abs(face) / axle, 1.0) * 0.33 + 0.03
            canvas.disc(tyre, (face, 0.33, axle), (squeeze, 0.33))


def draw_lamps(
    canvas: Canvas, dice: Dice, at: tuple[float, float, float], belt: float, *, oncoming: bool
) -> None:
    """A pair of lamps and a number plate."""
    x, half, z = at
    lamp = canvas.front(z, CAR, HEAD_LAMP if oncoming else TAIL_LAMP, tint=dice.share())
    low, high = (0.5, 0.66) if oncoming else (belt - 0.24, belt - 0.04)
    canvas.box(lamp, (x - half, x - half + 0.28), (low, high), z)
    canvas.box(lamp, (x + half - 0.28, x + half), (low, high), z)
    if z < FAR:
        plate = canvas.front(z, CAR, RIM, tint=0.9)
        canvas.box(plate, (x - 0.26, x + 0.26), (0.42, 0.54), z)


def draw_crossing_car(canvas: Canvas, dice: Dice, place: Place) -> None:
    """A car seen from its side, on a cross street."""
    x, z = place
    way = 1 if dice.chance(0.5) else -1
    tint = dice.share()
    tall, tail = dice.within((1.35, 1.75)), dice.within((1.9, 2.15))
    belt = 0.58 * tall
    paint = canvas.front(z, CAR, PAINT, tint=tint)
    glass = canvas.front(z, CAR, GLASS, tint=tint)
    canvas.shadow((x - 2.2, x + 2.2), (z - 0.2, z + 1.7), 165)
    canvas.box(paint, (x - 2.1, x + 2.1), (0.3, belt), z)
    body = ((-tail + 0.1, belt), (-1.4, tall), (0.5, tall), (1.25, belt))
    canvas.outline(paint, (x, 0, z), [(way * dx, y) for dx, y in body])
    panes = ((-1.6, belt), (-1.25, tall - 0.12), (0.42, tall - 0.12), (1.0, belt))
    canvas.outline(glass, (x, 0, z), [(way * dx, y) for dx, y in panes])
    canvas.box(paint, (x - 0.45, x - 0.35), (belt, tall), z)
    tyre, rim = canvas.front(z, CAR, TYRE), canvas.front(z, CAR, RIM, tint=0.4)
    for dx in (-1.3, 1.3):
        canvas.disc(tyre, (x + dx, 0.33, z), (0.34, 0.34))
        canvas.disc(rim, (x + dx, 0.33, z), (0.17, 0.17))


def draw_person(canvas: Canvas, dice: Dice, place: Place) -> None:
    """A walker: two legs, a body with arms, a head with hair."""
    x, z = place
    at = (x, 0.0, z)
    tall = dice.within((1.55, 1.9)) if dice.chance(0.85) else dice.within((1.05, 1.4))
    hip, neck, wide = 0.5 * tall, 0.84 * tall, 0.155 * tall
    canvas.shadow((x - 0.35, x + 0.35), (z - 0.3, z + 0.35), 120)
    trousers = canvas.front(z, PERSON, TROUSERS, tint=dice.share())
    stride = dice.within((0.09, 0.31))
    for foot in (-stride, stride):
        inner = 0.02 if foot > 0 else -0.02
        canvas.outline(trousers, at, [(foot - 0.09, 0), (foot + 0.09, 0), (inner + 0.13, hip), (inner - 0.13, hip)])
    shirt = canvas.front(z, PERSON, SHIRT, tint=dice.share())
    waist, shoulder = wide * 0.8, neck - 0.06
    canvas.outline(shirt, at, [(-waist, hip - 0.1), (waist, hip - 0.1), (wide, shoulder), (-wide, shoulder)])
    skin = canvas.front(z, PERSON, SKIN, tint=dice.share())
    if z < FAR:
        for way in (-1, 1):
            hand = way * (wide + 0.05 + dice.within((0.0, 0.12)))
            arm = [(way * wide, shoulder), (hand + 0.06, hip), (hand - 0.06, hip), (way * (wide - 0.13), shoulder)]
            canvas.outline(shirt, at, arm)
    canvas.disc(skin, (x, neck + 0.08 * tall, z), (0.062 * tall, 0.08 * tall))
    if z < FAR:
        hair = canvas.front(z, PERSON, HAIR, tint=dice.share())
        canvas.box(hair, (x - 0.06 * tall, x + 0.06 * tall), (neck + 0.11 * tall, neck + 0.165 * tall), z)


def draw_bicycle(canvas: Canvas, dice: Dice, place: Place) -> None:
    """A bicycle from its side: two wheels, a frame, handlebar and saddle."""
    x, z = place
    at = (x, 0.0, z)
    way = 1 if dice.chance(0.5) else -1
    reach = dice.within((0.42, 0.56))
    tyre, spokes = canvas.front(z, BICYCLE, TYRE), canvas.front(z, BICYCLE, SPOKES)
    frame = canvas.front(z, BICYCLE, FRAME, tint=dice.share())
    canvas.shadow((x - 0.9, x + 0.9), (z - 0.2, z + 0.3), 90)
    for dx in (-reach, reach):
        canvas.disc(tyre, (x + dx, 0.35, z), (0.36, 0.36))
        canvas.disc(spokes, (x + dx, 0.35, z), (0.25, 0.25))
    ends = ((-reach, 0.35), (-0.05, 0.32), (0.72 * reach, 0.85), (-0.2, 0.8), (-0.05, 0.32))
    fork = ((reach, 0.35), (0.66 * reach, 1.02), (0.4 * reach, 1.05))
    post = ((-0.2, 0.7), (-0.24, 0.95))
    for tubes in (ends, fork, post):
        canvas.line(frame, at, [(way * dx, y) for dx, y in tubes], thickness=0.07)
    canvas.box(tyre, (x - way * 0.24 - 0.14, x - way * 0.24 + 0.14), (0.92, 1.0), z)


def draw_lamp_post(canvas: Canvas, dice: Dice, place: Place, height: float) -> None:
    """A street lamp whose arm reaches over the road."""
    x, z = place
    metal = canvas.front(z, POLE, METAL, tint=dice.share())
    canvas.box(metal, (x - 0.11, x + 0.11), (0, height), z)
    reach = -1.9 if x > 0 else 1.9
    canvas.line(metal, (x, height, z), [(0, -0.1), (reach, 0.35)], thickness=0.14)
    canvas.box(metal, (x + reach - 0.3, x + reach + 0.3), (height + 0.22, height + 0.42), z)


def draw_traffic_light(canvas: Canvas, dice: Dice, place: Place, *, gantry: float) -> None:
    """A light on a pole; a positive ``gantry`` is the length in metres of an arm with a second light over the road."""
    x, z = place
    metal = canvas.front(z, POLE, METAL, tint=dice.share())
    inwards = -1 if x > 0 else 1
    phase = dice.whole(3)
    if gantry:
        end = x + inwards * gantry
        canvas.box(metal, (x - 0.12, x + 0.12), (0, 6.0), z)
        canvas.box(metal, (min(x, end), max(x, end)), (5.75, 5.92), z)
        draw_signal(canvas, (end, 5.3, z), phase)
    else:
        canvas.box(metal, (x - 0.09, x + 0.09), (0, 2.9), z)
    draw_signal(canvas, (x + inwards * (0.35 if gantry else 0.0), 3.1, z), phase)


def draw_signal(canvas: Canvas, at: Point, phase: int) -> None:
    """A housing with three lamps, of which one is lit."""
    x, y, z = at
    housing = canvas.front(z, LIGHT, HOUSING)
    canvas.box(housing, (x - 0.25, x + 0.25), (y - 0.55, y + 0.75), z)
    for row, material in enumerate((GREEN, AMBER, RED)):
        lit = row == phase
        lamp = canvas.front(z, LIGHT, material, tint=0.9 if lit else 0.1)
        canvas.disc(lamp, (x, y - 0.3 + 0.4 * row, z), (0.17, 0.17))


def draw_sign(canvas: Canvas, dice: Dice, place: Place) -> None:
    """A round, square or three-cornered sign on a pole; the tint of the face tells red from blue from yellow."""
    x, z = place
    metal = canvas.front(z, POLE, METAL, tint=dice.share())
    tall, radius = dice.within((2.2, 3.0)), dice.within((0.34, 0.46))
    canvas.box(metal, (x - 0.06, x + 0.06), (0, tall), z)
    shape, tint = dice.whole(3), dice.share()
    face = canvas.front(z, SIGN, SIGN_FACE, tint=tint)
    mark = canvas.front(z, SIGN, SIGN_MARK, tint=tint)
    if shape == 0:
        canvas.disc(face, (x, tall, z), (radius, radius))
        canvas.disc(mark, (x, tall, z), (radius * 0.58, radius * 0.58))
    elif shape == 1:
        canvas.box(face, (x - radius, x + radius), (tall - radius, tall + radius), z)
        canvas.box(mark, (x - radius * 0.45, x + radius * 0.45), (tall - radius * 0.6, tall + radius * 0.3), z)
    else:
        for part, size in ((face, 1.15 * radius), (mark, 0.55 * radius)):
            canvas.outline(part, (x, tall, z), [(-size, -0.7 * size), (size, -0.7 * size), (0, size)])


def draw_rail(canvas: Canvas, x: float, z: Range, *, tall: float, tint: float) -> None:
    """A piece of fence along the street; the gaps between its pickets are fence, too."""
    rail = canvas.side(x, FENCE, RAIL, tint=tint)
    canvas.upright(rail, x, (0, tall), z)
