"""What the streets of each domain are like, and from where they are seen."""

from dataclasses import dataclass
from typing import Literal

from segue.data.streets.canvas import Range

Domain = Literal["source", "target"]
"""The clean render, and the camera."""


@dataclass(frozen=True)
class StreetStyle:
    """What the streets of a domain are like, and from where they are seen; lengths in metres.

    A pair holds the ends from which a value is drawn, both included for whole numbers.

    Attributes:
        camera_height: Above the ground.
        focal: Focal length in picture widths.
        horizon: Row of the vanishing point in picture heights.
        storeys: Of a building, 3.1 m each.
        garden: Probability that a block is a garden and not a building.
        pitched: Probability that a building has a pitched roof.
        tree: Probability of a tree at each tree place.
        parking: Probability that a side of the road has parking places.
        parked: Probability of a car at each parking place.
        moving: Probability of a car in each stretch of a lane.
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


STYLES: dict[Domain, StreetStyle] = {
    "source": StreetStyle(
        camera_height=(1.6, 2.2), focal=(0.8, 0.95), horizon=(0.42, 0.52), lane=(3.3, 3.7), lanes=(1, 2),
        sidewalk=(3.2, 5.5), storeys=(3, 12), garden=0.16, pitched=0.1, tree=0.28, tree_height=(4.5, 7.0),
        parking=0.5, parked=0.5, moving=0.3, people=(2, 8), bicycles=(1, 3), signs=(1, 3), crossing=0.7,
        gantry=0.6, rail=0.6, sun=0.8,
    ),
    "target": StreetStyle(
        camera_height=(1.25, 1.6), focal=(0.95, 1.15), horizon=(0.38, 0.48), lane=(2.9, 3.3), lanes=(1, 1),
        sidewalk=(2.6, 4.4), storeys=(2, 6), garden=0.3, pitched=0.5, tree=0.4, tree_height=(5.0, 9.5),
        parking=0.65, parked=0.55, moving=0.25, people=(2, 8), bicycles=(1, 3), signs=(1, 3), crossing=0.7,
        gantry=0.15, rail=0.6, sun=0.0,
    ),
}  # fmt: skip
"""Wide streets between high buildings in the source, narrow ones between houses and trees in the target."""
