"""Where things are: ground, blocks of buildings and gardens, and what stands in the street, drawn from far to near."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from segue.data.street_canvas import (
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
from segue.data.street_objects import (
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

Domain = Literal["source", "target"]

NEAR, END = 1.2, 120.0
"""Depths in metres between which things are drawn."""


@dataclass(frozen=True)
class Habit:
    """How streets are built, and looked at, in a domain. Lengths in metres, probabilities per possible place.

    Attributes:
        camera_height: Of the camera above the ground.
        focal: Focal length in picture widths.
        horizon: Row of the vanishing point in picture heights.
        lane: Width of a lane.
        lanes: Fewest and most lanes a direction.
        sidewalk: Width of a sidewalk.
        storeys: Fewest and most storeys of a building, of 3.1 m.
        garden: Probability that a block is a garden and not a building.
        pitched: Probability that a building has a pitched roof.
        tree: Probability of a tree at each tree place.
        tree_height: Height of street trees.
        parking: Probability that a side of the road has parking places.
        parked: Probability of a car at each parking place.
        moving: Probability of a car in each stretch of a lane.
        people: Fewest and most people.
        bicycles: Fewest and most bicycles.
        signs: Fewest and most signs.
        crossing: Probability of a cross street.
        gantry: Probability that traffic lights hang over the road.
        rail: Probability of a rail along a sidewalk.
        sun: Greatest length of a building's shadow over its height; 0 under clouds.
    """

    camera_height: Range
    focal: Range
    horizon: Range
    lane: Range
    lanes: tuple[int, int]
    sidewalk: Range
    storeys: tuple[int, int]
    garden: float
    pitched: float
    tree: float
    tree_height: Range
    parking: float
    parked: float
    moving: float
    people: tuple[int, int]
    bicycles: tuple[int, int]
    signs: tuple[int, int]
    crossing: float
    gantry: float
    rail: float
    sun: float


HABITS: dict[Domain, Habit] = {
    "source": Habit(
        camera_height=(1.6, 2.2), focal=(0.8, 0.95), horizon=(0.42, 0.52), lane=(3.3, 3.7), lanes=(1, 2),
        sidewalk=(3.2, 5.5), storeys=(3, 12), garden=0.16, pitched=0.1, tree=0.28, tree_height=(4.5, 7.0),
        parking=0.5, parked=0.5, moving=0.3, people=(3, 8), bicycles=(1, 4), signs=(1, 4), crossing=0.7,
        gantry=0.6, rail=0.35, sun=0.8,
    ),
    "target": Habit(
        camera_height=(1.25, 1.6), focal=(0.95, 1.15), horizon=(0.38, 0.48), lane=(2.9, 3.3), lanes=(1, 1),
        sidewalk=(2.6, 4.4), storeys=(2, 6), garden=0.3, pitched=0.5, tree=0.4, tree_height=(5.0, 9.5),
        parking=0.65, parked=0.55, moving=0.25, people=(3, 9), bicycles=(1, 4), signs=(1, 4), crossing=0.7,
        gantry=0.15, rail=0.35, sun=0.0,
    ),
}  # fmt: skip
"""The two domains' habits: wide streets between high buildings, and narrow ones between houses and trees."""


@dataclass(frozen=True)
class Street:
    """The plan of one street.

    Attributes:
        curbs: Places of the left and the right curb; the camera is at 0.
        lines: Places of the facades on the left and on the right.
        lane: Width of a lane.
        lanes: How many in each direction.
        middle: Place of the line between the directions.
        parking: Width of the parking places on the left and on the right, 0 without.
        crossing: Near and far end of the cross street; both beyond END if there is none.
        sun: Length of a building's shadow over its height, positive if the sun stands on the left, negative on the
            right, 0 under clouds.
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


@dataclass(frozen=True)
class Thing:
    """Something that stands in the street and is yet to be drawn.

    Attributes:
        depth: Of its near end; things are drawn by it.
        place: The point by which it is left out if out of sight.
        reach: How far it extends from there to both sides, in metres.
        draw: Draws it.
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


def draw_street(dice: Dice, domain: Domain, size: tuple[int, int]) -> Scene:
    """Plan a street by a domain's habits and draw it."""
    habit = HABITS[domain]
    height, width = size
    camera = Camera(
        height=dice.within(habit.camera_height),
        focal=dice.within(habit.focal) * width,
        column=dice.within((0.38, 0.62)) * width,
        horizon=dice.within(habit.horizon) * height,
    )
    street = plan(dice, habit)
    canvas = Canvas(camera, size)
    draw_ground(canvas, street)
    draw_backdrop(canvas, dice, habit)
    for right in (False, True):
        draw_blocks(canvas, dice, habit, street, right=right)
    things = [*traffic(dice, habit, street), *furniture(dice, habit, street), *life(dice, habit, street)]
    for thing in sorted(things, key=lambda thing: -thing.depth):
        if canvas.sees(*thing.place, thing.reach):
            thing.draw(canvas, dice)
    return Scene(canvas, street)


def plan(dice: Dice, habit: Habit) -> Street:
    """Choose the widths of a street, and where the camera drives on it."""
    lane = dice.within(habit.lane)
    lanes = habit.lanes[0] + dice.whole(habit.lanes[1] - habit.lanes[0] + 1)
    middle = -(dice.whole(lanes) + 0.5) * lane + dice.within((-0.3, 0.3))
    parking = tuple(2.1 if dice.chance(habit.parking) else 0.0 for _ in range(2))
    left, right = middle - lanes * lane - parking[0], middle + lanes * lane + parking[1]
    near = dice.within((9.0, 24.0)) if dice.chance(habit.crossing) else 2 * END
    return Street(
        curbs=(left, right),
        lines=(left - dice.within(habit.sidewalk), right + dice.within(habit.sidewalk)),
        lane=lane,
        lanes=lanes,
        middle=middle,
        parking=(parking[0], parking[1]),
        crossing=(near, near + dice.within((6.5, 9.5))),
        sun=dice.within((-habit.sun, habit.sun)),
    )


def draw_ground(canvas: Canvas, street: Street) -> None:
    """Sky, sidewalks with their curbs, the road and the cross street."""
    canvas.flat(0, SKY, AIR)
    paving = canvas.flat(0, SIDEWALK, PAVING)
    curb = canvas.flat(0, SIDEWALK, CURB)
    asphalt = canvas.flat(0, ROAD, ASPHALT)
    canvas.fill(paving, top=canvas.camera.horizon)
    left, right = street.curbs
    canvas.level(curb, (left - 0.22, right + 0.22), 0.0, (NEAR, END))
    canvas.level(asphalt, (left, right), 0.0, (NEAR, END))
    if street.crossing[0] < END:
        canvas.level(asphalt, (-80, 80), 0.0, street.crossing)


def draw_backdrop(canvas: Canvas, dice: Dice, habit: Habit) -> None:
    """Far buildings and trees that close the street."""
    x = -26.0
    while x < 26:
        wide = dice.within((7, 14))
        if dice.chance(0.25 + habit.garden):
            size = (wide * 0.6, dice.within((3, 9)))
            draw_foliage(canvas, dice, (x + wide / 2, size[1] * 0.6, END), size, dice.share())
        else:
            part = canvas.front(END, BUILDING, DISTANCE, tint=dice.share())
            canvas.box(part, (x, x + wide), (0, dice.within((5, 9.0 + 2 * habit.storeys[1]))), END)
        x += wide


def draw_blocks(canvas: Canvas, dice: Dice, habit: Habit, street: Street, *, right: bool) -> None:
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
        # The widest thing in a block reaches 3 m towards the road; a block that ends out of sight is out of sight.
        if not canvas.sees(line, block[1], 3.0):
            continue
        if dice.chance(habit.garden):
            draw_garden(canvas, dice, line, block)
        else:
            draw_building(canvas, dice, habit, line, z=block, sun=street.sun)


def draw_building(canvas: Canvas, dice: Dice, habit: Habit, line: float, *, z: Range, sun: float) -> None:
    """A facade along the street, the wall at its near end, perhaps a pitched roof, and its shadow."""
    outwards = 1 if line > 0 else -1
    x = line + outwards * (dice.within((0.0, 1.5)) if dice.chance(0.4) else 0.0)
    back = x + outwards * dice.within((8, 14))
    tall = 3.1 * (habit.storeys[0] + dice.whole(habit.storeys[1] - habit.storeys[0] + 1)) + dice.within((0.3, 1.2))
    tint = dice.share()
    facade = canvas.side(x, BUILDING, FACADE, tint=tint)
    gable = canvas.front(z[0], BUILDING, FACADE, tint=tint)
    if dice.chance(habit.pitched):
        ridge, peak = (x + back) / 2, tall + dice.within((2.0, 4.0))
        tiles = canvas.side(x, BUILDING, ROOF, tint=dice.share())
        canvas.polygon(tiles, [(x, tall, z[0]), (ridge, peak, z[0]), (ridge, peak, z[1]), (x, tall, z[1])])
        canvas.polygon(gable, [(x, tall, z[0]), (ridge, peak, z[0]), (back, tall, z[0])])
    canvas.box(gable, (min(x, back), max(x, back)), (0, tall), z[0])
    canvas.upright(facade, x, (0, tall), z)
    if sun * outwards < 0:
        reach = x + sun * tall
        canvas.shadow((min(x, reach), max(x, reach)), z, 130)


def draw_garden(canvas: Canvas, dice: Dice, line: float, z: Range) -> None:
    """Bushes and trees behind a hedge or a fence."""
    outwards = 1 if line > 0 else -1
    pieces = 4 if z[0] < 30 else 2
    for step in range(pieces):
        at = z[1] - (step + 0.5) * (z[1] - z[0]) / pieces
        if dice.chance(0.5):
            draw_tree(canvas, dice, (line + outwards * dice.within((2.2, 5.0)), at), dice.within((4.5, 9.5)))
        size = (dice.within((1.6, 2.6)) * 4 / pieces, dice.within((1.1, 2.2)))
        draw_foliage(canvas, dice, (line + outwards * 2.4, size[1] * 0.7, at), size, dice.share())
    tall = dice.within((0.9, 1.6))
    if dice.chance(0.65):
        draw_rail(canvas, line, z, tall=tall, tint=dice.share())
    else:
        canvas.upright(canvas.side(line, VEGETATION, LEAF, tint=dice.share()), line, (0, tall), z)


def traffic(dice: Dice, habit: Habit, street: Street) -> list[Thing]:
    """Parked, moving and crossing cars."""
    cars: list[tuple[float, float, bool]] = []
    for right, oncoming in ((False, True), (True, False)):
        x = street.curbs[right] + (-1.05 if right else 1.05)
        z = dice.within((4.5, 10.0)) if street.parking[right] else END
        while z < 60:
            if dice.chance(habit.parked) and not street.crosses((z, z + 5)):
                cars.append((x, z, oncoming != dice.chance(0.1)))
            z += dice.within((5.2, 7.0))
    for lane in range(-street.lanes, street.lanes):
        x = street.middle + (lane + 0.5) * street.lane
        z = dice.within((7.0, 22.0))
        while z < 80:
            if dice.chance(habit.moving):
                cars.append((x + dice.within((-0.3, 0.3)), z, lane < 0))
            z += dice.within((10, 22))
    things = [Thing(z, (x, z + 4.2), 1.0, partial(draw_car, place=(x, z), oncoming=front)) for x, z, front in cars]
    if street.crossing[0] < END and dice.chance(0.45):
        place = (dice.within((-9, 9)), street.crossing[0] + dice.within((2.0, 4.0)))
        things.append(Thing(place[1], place, 2.2, partial(draw_crossing_car, place=place)))
    return things


def furniture(dice: Dice, habit: Habit, street: Street) -> list[Thing]:
    """Trees, street lamps, signs, traffic lights and rails along the curbs."""
    things: list[Thing] = []
    for x, inwards in ((street.curbs[0] - 0.8, 1), (street.curbs[1] + 0.8, -1)):
        z = dice.within((6, 13))
        while z < 70:
            if dice.chance(habit.tree) and not street.crosses((z, z)):
                tall = dice.within(habit.tree_height)
                things.append(Thing(z, (x, z), 0.35 * tall, partial(draw_tree, place=(x, z), height=tall)))
            z += dice.within((6, 10))
        z, tall = dice.within((7, 22)), dice.within((5.5, 8.0))
        while z < 80:
            if not street.crosses((z, z)):
                things.append(Thing(z, (x, z), 2.2, partial(draw_lamp_post, place=(x, z), height=tall)))
            z += dice.within((17, 26))
        if dice.chance(habit.rail):
            things += rails(dice, street, x + 0.3 * inwards)
        if street.crossing[0] < END:
            place = (x, street.crossing[0] - 0.8)
            arm = dice.within((2.5, 4.5)) if dice.chance(habit.gantry) else 0.0
            things.append(Thing(place[1], place, 5.0, partial(draw_traffic_light, place=place, gantry=arm)))
    for _ in range(amount(dice, habit.signs)):
        place = (street.curbs[1] + 0.5 if dice.chance(0.6) else street.curbs[0] - 0.5, dice.within((6, 26)))
        if not street.crosses((place[1], place[1])):
            things.append(Thing(place[1], place, 0.5, partial(draw_sign, place=place)))
    return things


def rails(dice: Dice, street: Street, x: float) -> list[Thing]:
    """A rail along the curb, in pieces: what stands behind one piece may stand before the next."""
    tall, tint = dice.within((0.9, 1.5)), dice.share()
    near = dice.within((5, 16))
    pieces = 2 + dice.whole(5)
    if street.crosses((near, near + 2 * pieces)):
        return []
    return [
        Thing(z, (x, z + 2), 0.1, lambda canvas, _, z=z: draw_rail(canvas, x, (z, z + 2), tall=tall, tint=tint))
        for z in (near + 2 * piece for piece in range(pieces))
    ]


def life(dice: Dice, habit: Habit, street: Street) -> list[Thing]:
    """People on the sidewalks and on the crossing, and bicycles."""
    things: list[Thing] = []
    for _ in range(amount(dice, habit.people)):
        right = dice.chance(0.5)
        curb, line = street.curbs[right], street.lines[right]
        place = (curb + dice.within((0.15, 0.95)) * (line - curb), dice.within((6, 32)))
        if dice.chance(0.15) and street.crossing[0] < END:
            place = (dice.within(street.curbs), street.crossing[0] - dice.within((0.5, 3.0)))
        things.append(Thing(place[1], place, 0.6, partial(draw_person, place=place)))
    for _ in range(amount(dice, habit.bicycles)):
        right = dice.chance(0.5)
        place = (street.curbs[right] + dice.within((0.9, 2.2)) * (1 if right else -1), dice.within((6, 20)))
        things.append(Thing(place[1], place, 1.0, partial(draw_bicycle, place=place)))
    return things


def amount(dice: Dice, ends: tuple[int, int]) -> int:
    """A whole number between two ends, both included."""
    return ends[0] + dice.whole(ends[1] - ends[0] + 1)
