"""A street is planned and drawn: the ground, blocks of buildings and gardens, and what stands in the street."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from segue.data.streets.canvas import (
    AIR,
    ASPHALT,
    BUILDING,
    CURB,
    DISTANCE,
    FACADE,
    LEAF,
    PAVING,
    ROAD,
    ROOF,
    SIDEWALK,
    SKY,
    VEGETATION,
    Camera,
    Canvas,
    Dice,
    Range,
)
from segue.data.streets.objects import (
    Place,
    draw_bicycle,
    draw_car,
    draw_crossing_car,
    draw_foliage,
    draw_lamp_post,
    draw_person,
    draw_rail,
    draw_sign,
    draw_traffic_light,
    draw_tree,
)
from segue.data.streets.style import STYLES, Domain, StreetStyle

NEAR, END = 1.2, 120.0
"""Depths in metres between which things are drawn."""


@dataclass(frozen=True)
class Street:
    """The plan of one street; places and widths in metres, the camera is at 0.

    Attributes:
        curbs: Places of the left and the right curb.
        lines: Places of the facades on the left and on the right.
        lanes: How many in each direction.
        middle: Place of the line between the directions.
        parking: Width of the parking places on the left and on the right, 0 without.
        crossing: Near and far end of the cross street; both beyond END if there is none.
        sun: Length of a building's shadow over its height, positive if the sun stands on the left, negative
            if on the right, 0 under clouds.
    """

    curbs: Range
    lines: Range
    lane: float
    lanes: int
    middle: float
    parking: Range
    crossing: Range
    sun: float

    def crosses(self, z: Range) -> bool:
        """Whether something between two depths would stand on the cross street."""
        return z[0] < self.crossing[1] + 1 and z[1] > self.crossing[0] - 1


class Thing(NamedTuple):
    """Something that stands in the street and is yet to be drawn.

    Attributes:
        depth: Of its near end; things are drawn in the order of their depths.
        place: The point that decides whether it is in sight.
        reach: How far it extends from there to both sides, in metres.
    """

    depth: float
    place: Place
    reach: float
    draw: Callable[[Canvas, Dice], None]


@dataclass(frozen=True)
class Scene:
    """A street that has been drawn."""

    canvas: Canvas
    street: Street


def draw_street(dice: Dice, domain: Domain, *, size: tuple[int, int]) -> Scene:
    """Plan a street in the style of a domain and draw it."""
    style = STYLES[domain]
    height, width = size
    camera = Camera(
        height=dice.within(style.camera_height),
        focal=dice.within(style.focal) * width,
        column=dice.within((0.38, 0.62)) * width,
        horizon=dice.within(style.horizon) * height,
    )
    street = plan_street(dice, style)
    canvas = Canvas(camera, size)
    draw_ground(canvas, dice, street=street)
    draw_backdrop(canvas, dice, style=style)
    for right in (False, True):
        draw_blocks(canvas, dice, style=style, street=street, right=right)
    things = [
        *traffic(dice, style, street=street),
        *furniture(dice, style, street=street),
        *life(dice, style, street=street),
    ]
    for thing in sorted(things, key=lambda thing: -thing.depth):
        if canvas.sees(*thing.place, thing.reach):
            thing.draw(canvas, dice)
    return Scene(canvas, street)


def plan_street(dice: Dice, style: StreetStyle) -> Street:
    """Choose the widths of a street, and where the camera drives on it."""
    lane = dice.within(style.lane)
    lanes = style.lanes[0] + dice.whole(style.lanes[1] - style.lanes[0] + 1)
    middle = -(dice.whole(lanes) + 0.5) * lane + dice.within((-0.3, 0.3))
    parking = tuple(2.1 if dice.chance(style.parking) else 0.0 for _ in range(2))
    left, right = middle - lanes * lane - parking[0], middle + lanes * lane + parking[1]
    near = dice.within((8.5, 19.0)) if dice.chance(style.crossing) else 2 * END
    return Street(
        curbs=(left, right),
        lines=(left - dice.within(style.sidewalk), right + dice.within(style.sidewalk)),
        lane=lane,
        lanes=lanes,
        middle=middle,
        parking=(parking[0], parking[1]),
        crossing=(near, near + dice.within((6.5, 9.5))),
        sun=dice.within((-style.sun, style.sun)),
    )


def draw_ground(canvas: Canvas, dice: Dice, *, street: Street) -> None:
    """Sky, sidewalks with their curbs, the road and the cross street."""
    canvas.flat(0, SKY, material=AIR, tint=dice.share())
    paving = canvas.flat(0, SIDEWALK, material=PAVING, tint=dice.share())
    curb = canvas.flat(0, SIDEWALK, material=CURB, tint=dice.share())
    asphalt = canvas.flat(0, ROAD, material=ASPHALT, tint=dice.share())
    canvas.fill(paving, canvas.camera.horizon)
    left, right = street.curbs
    canvas.level(curb, x=(left - 0.22, right + 0.22), y=0, z=(NEAR, END))
    canvas.level(asphalt, x=(left, right), y=0, z=(NEAR, END))
    if street.crossing[0] < END:
        canvas.level(asphalt, x=(-80, 80), y=0, z=street.crossing)


def draw_backdrop(canvas: Canvas, dice: Dice, *, style: StreetStyle) -> None:
    """Far buildings and trees that close the street."""
    x = -26.0
    while x < 26:
        wide = dice.within((7, 14))
        if dice.chance(0.25 + style.garden):
            size = (wide * 0.6, dice.within((3, 9)))
            draw_foliage(
                canvas, dice, centre=(x + wide / 2, size[1] * 0.6, END), radius=size, tint=dice.share()
            )
        else:
            part = canvas.front(END, BUILDING, material=DISTANCE, tint=dice.share())
            canvas.box(part, x=(x, x + wide), y=(0, dice.within((5, 9.0 + 2 * style.storeys[1]))), z=END)
        x += wide


def draw_blocks(canvas: Canvas, dice: Dice, *, style: StreetStyle, street: Street, right: bool) -> None:
    """One side of the street beyond the sidewalk: buildings and gardens, the far ones first."""
    line = street.lines[right]
    near, far = street.crossing
    blocks: list[Range] = []
    z = NEAR
    while z < END:
        end = z + dice.within((7, 19)) * (1 + z / END)
        if z < far and end > near:
            if near - z > 3:
                blocks.append((z, near - 1.0))
            z = far + 1.0
        else:
            blocks.append((z, end))
            z = end
    for block in reversed(blocks):
        # A block is out of sight if its far end is; bushes extend a few metres towards the road.
        if not canvas.sees(line, block[1], 3.0):
            continue
        if dice.chance(style.garden):
            draw_garden(canvas, dice, line=line, z=block)
        else:
            draw_building(canvas, dice, style=style, line=line, z=block, sun=street.sun)


def draw_building(
    canvas: Canvas, dice: Dice, *, style: StreetStyle, line: float, z: Range, sun: float
) -> None:
    """A facade along the street, the wall at its near end, perhaps a pitched roof, and its shadow."""
    outwards = 1 if line > 0 else -1
    x = line + outwards * (dice.within((0.0, 1.5)) if dice.chance(0.4) else 0.0)
    back = x + outwards * dice.within((8, 14))
    tall = 3.1 * (style.storeys[0] + dice.whole(style.storeys[1] - style.storeys[0] + 1)) + dice.within(
        (0.3, 1.2)
    )
    tint = dice.share()
    facade = canvas.side(x, BUILDING, material=FACADE, tint=tint)
    gable = canvas.front(z[0], BUILDING, material=FACADE, tint=tint)
    if dice.chance(style.pitched):
        ridge, peak = (x + back) / 2, tall + dice.within((2.0, 4.0))
        tiles = canvas.side(x, BUILDING, material=ROOF, tint=dice.share())
        canvas.polygon(tiles, [(x, tall, z[0]), (ridge, peak, z[0]), (ridge, peak, z[1]), (x, tall, z[1])])
        canvas.polygon(gable, [(x, tall, z[0]), (ridge, peak, z[0]), (back, tall, z[0])])
    canvas.box(gable, x=(min(x, back), max(x, back)), y=(0, tall), z=z[0])
    canvas.upright(facade, x, y=(0, tall), z=z)
    if sun * outwards < 0:
        reach = x + sun * tall
        canvas.shadow((min(x, reach), max(x, reach)), z, strength=130)


def draw_garden(canvas: Canvas, dice: Dice, *, line: float, z: Range) -> None:
    """Bushes and trees behind a hedge or a fence."""
    outwards = 1 if line > 0 else -1
    pieces = 3 if z[0] < 30 else 2
    for step in range(pieces):
        at = z[1] - (step + 0.5) * (z[1] - z[0]) / pieces
        if dice.chance(0.5):
            place = (line + outwards * dice.within((2.2, 5.0)), at)
            draw_tree(canvas, dice, place=place, height=dice.within((4.5, 9.5)))
        size = (dice.within((1.6, 2.6)) * 3 / pieces, dice.within((1.1, 2.2)))
        draw_foliage(
            canvas, dice, centre=(line + outwards * 2.4, size[1] * 0.7, at), radius=size, tint=dice.share()
        )
    tall = dice.within((1.1, 1.8))
    if dice.chance(0.8):
        draw_rail(canvas, line, z=z, tall=tall, tint=dice.share())
    else:
        hedge = canvas.side(line, VEGETATION, material=LEAF, tint=dice.share())
        canvas.upright(hedge, line, y=(0, tall), z=z)


def traffic(dice: Dice, style: StreetStyle, *, street: Street) -> list[Thing]:
    """Parked, moving and crossing cars."""
    cars: list[tuple[float, float, bool]] = []
    for right, oncoming in ((False, True), (True, False)):
        x = street.curbs[right] + (-1.05 if right else 1.05)
        z = dice.within((4.5, 10.0)) if street.parking[right] else END
        while z < 60:
            if dice.chance(style.parked) and not street.crosses((z, z + 5)):
                cars.append((x, z, oncoming != dice.chance(0.1)))
            z += dice.within((5.2, 7.0))
    for lane in range(-street.lanes, street.lanes):
        x = street.middle + (lane + 0.5) * street.lane
        z = dice.within((7.0, 22.0))
        while z < 65:
            if dice.chance(style.moving):
                cars.append((x + dice.within((-0.3, 0.3)), z, lane < 0))
            z += dice.within((10, 22))
    things = [
        Thing(z, (x, z + 4.2), 1.0, partial(draw_car, place=(x, z), oncoming=front)) for x, z, front in cars
    ]
    if street.crossing[0] < END and dice.chance(0.45):
        place = (dice.within((-9, 9)), street.crossing[0] + dice.within((2.0, 4.0)))
        things.append(Thing(place[1], place, 2.2, partial(draw_crossing_car, place=place)))
    return things


def furniture(dice: Dice, style: StreetStyle, *, street: Street) -> list[Thing]:
    """Trees, street lamps, signs, traffic lights and rails along the curbs."""
    things: list[Thing] = []
    for x, inwards in ((street.curbs[0] - 0.8, 1), (street.curbs[1] + 0.8, -1)):
        z = dice.within((6, 13))
        while z < 70:
            if dice.chance(style.tree) and not street.crosses((z, z)):
                tall = dice.within(style.tree_height)
                things.append(Thing(z, (x, z), 0.35 * tall, partial(draw_tree, place=(x, z), height=tall)))
            z += dice.within((6, 10))
        z, tall = dice.within((7, 22)), dice.within((5.5, 8.0))
        while z < 65:
            if not street.crosses((z, z)):
                things.append(Thing(z, (x, z), 2.2, partial(draw_lamp_post, place=(x, z), height=tall)))
            z += dice.within((17, 26))
        if dice.chance(style.rail):
            things += rails(dice, street, x=x + 0.3 * inwards)
        if street.crossing[0] < END:
            place = (x, street.crossing[0] - 0.8)
            arm = dice.within((2.5, 4.5)) if dice.chance(style.gantry) else 0.0
            things.append(Thing(place[1], place, 5.0, partial(draw_traffic_light, place=place, gantry=arm)))
    for _ in range(amount(dice, style.signs)):
        place = (street.curbs[1] + 0.5 if dice.chance(0.6) else street.curbs[0] - 0.5, dice.within((6, 18)))
        if not street.crosses((place[1], place[1])):
            things.append(Thing(place[1], place, 0.5, partial(draw_sign, place=place)))
    return things


def rails(dice: Dice, street: Street, *, x: float) -> list[Thing]:
    """A rail along the curb, in pieces: what stands behind one piece may stand in front of the next."""
    tall, tint = dice.within((1.0, 1.6)), dice.share()
    near = dice.within((5, 14))
    pieces = 3 + dice.whole(6)
    if street.crosses((near, near + 2 * pieces)):
        return []
    return [
        Thing(
            z,
            (x, z + 2),
            0.1,
            lambda canvas, _, z=z: draw_rail(canvas, x, z=(z, z + 2), tall=tall, tint=tint),
        )
        for z in (near + 2 * piece for piece in range(pieces))
    ]


def life(dice: Dice, style: StreetStyle, *, street: Street) -> list[Thing]:
    """People on the sidewalks and on the crossing, and bicycles."""
    things: list[Thing] = []
    for _ in range(amount(dice, style.people)):
        right = dice.chance(0.5)
        curb, line = street.curbs[right], street.lines[right]
        place = (curb + dice.within((0.15, 0.95)) * (line - curb), dice.within((5, 24)))
        if dice.chance(0.15) and street.crossing[0] < END:
            place = (dice.within(street.curbs), street.crossing[0] - dice.within((0.5, 3.0)))
        things.append(Thing(place[1], place, 0.6, partial(draw_person, place=place)))
    for _ in range(amount(dice, style.bicycles)):
        right = dice.chance(0.5)
        place = (street.curbs[right] + dice.within((0.9, 2.2)) * (1 if right else -1), dice.within((5, 15)))
        things.append(Thing(place[1], place, 1.0, partial(draw_bicycle, place=place)))
    return things


def amount(dice: Dice, ends: tuple[int, int]) -> int:
    """A whole number between two ends, both included."""
    return ends[0] + dice.whole(ends[1] - ends[0] + 1)
