"""From parts to a picture: paint, texture, light, weather, and the camera's own faults.

Pixels are only added, multiplied, divided and looked up, so that a scene is the same on every machine.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.data.streets.canvas import FACADE, MATERIALS, RAIL, ROAD, SIDE, SIDEWALK, SKY, Camera, Dice
from segue.data.streets.looks import LOOKS, ROUGHNESS, Look
from segue.data.streets.scene import Scene, Street
from segue.data.streets.style import Domain

Plane = NDArray[np.float32]
"""One number per pixel, (H, W)."""

Picture = NDArray[np.float32]
"""Red, green and blue from 0 to 1, (3, H, W)."""

TILE = 528
"""Height and width of a texture, which repeats."""


@lru_cache(maxsize=1)
def textures() -> NDArray[np.float32]:
    """Blotches with grain, leaves, and clouds, from about -1 to 1, (3, TILE, TILE): the same for everyone."""
    generator = np.random.Generator(np.random.PCG64(20_240_229))
    pixel, small, middle, large, huge = (octave(generator, size) for size in (1, 3, 8, 24, 66))
    surface = 0.5 * pixel + 0.3 * small + 0.3 * middle + 0.4 * large + 0.4 * huge
    leaves = 0.45 * pixel + 0.65 * small + 0.55 * middle + 0.3 * large
    clouds = 0.15 * middle + 0.5 * large + 0.7 * huge
    return np.stack([surface, leaves, clouds]).astype(np.float32)


def octave(generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Random values on a grid of cells of ``size`` pixels, blended between cells, from -1 to 1."""
    cells = -(-TILE // size)
    values = generator.random((cells, cells)) * 2 - 1
    at = np.arange(TILE) / size
    low = at.astype(np.int64)
    weight = (at - low) * (at - low) * (3 - 2 * (at - low))
    high = (low + 1) % cells
    rows = values[low] * (1 - weight)[:, None] + values[high] * weight[:, None]
    return rows[:, low] * (1 - weight) + rows[:, high] * weight


@lru_cache(maxsize=1)
def sensor_noise() -> NDArray[np.float32]:
    """Independent noise of standard deviation 1, (3, TILE, TILE): sums of four uniform numbers."""
    generator = np.random.Generator(np.random.PCG64(20_240_301))
    total = generator.integers(0, 256, (4, 3, TILE, TILE), dtype=np.uint8).sum(axis=0, dtype=np.int32)
    return ((total - 510) / 147.8).astype(np.float32)


def cut_texture(bank: NDArray[np.float32], dice: Dice, *, shape: tuple[int, int]) -> NDArray[np.float32]:
    """A random piece of a texture, which repeats if the picture is larger."""
    height, width = bank.shape[-2:]
    top, left = dice.whole(max(height - shape[0], 1)), dice.whole(max(width - shape[1], 1))
    piece = bank[..., top : top + shape[0], left : left + shape[1]]
    if piece.shape[-2:] == shape:
        return piece
    return bank.take(np.arange(shape[0]) % height, axis=-2).take(np.arange(shape[1]) % width, axis=-1)


@dataclass(frozen=True)
class Pixels:
    """What is seen at each pixel; columns and rows are counted from the vanishing point.

    Attributes:
        parts: One row per part, see :class:`segue.data.streets.canvas.Canvas`.
        depth: Metres ahead of the camera, (H, W); 1000 in the sky.
        column: (1, W).
        row: (H, 1).
        shadow: Shadow on the ground, (H, W), 0 to 255.
    """

    parts: NDArray[np.float32]
    ids: NDArray[np.intp]
    label: NDArray[np.uint8]
    depth: Plane
    column: Plane
    row: Plane
    shadow: NDArray[np.uint8]
    camera: Camera

    def by_part(self, values: NDArray[Any]) -> NDArray[Any]:
        """Every pixel's value, given one for each part."""
        # Ids are always in range; "clip" only avoids the check, which costs more than the look-up.
        return values.take(self.ids, mode="clip")


def shade(scene: Scene, dice: Dice, *, domain: Domain) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The picture (H, W, 3) and the label (H, W) of a scene."""
    look, seen = LOOKS[domain], look_at(scene)
    image = paint(seen, dice, domain=domain)
    paint_gaps(image, seen, look=look)
    paint_ground(image, seen, street=scene.street, look=look)
    paint_sky(image, seen, dice=dice, look=look)
    weather(image, seen, dice=dice, look=look)
    return photograph(image, dice, look=look), seen.label


def look_at(scene: Scene) -> Pixels:
    """Look up what is seen at each pixel."""
    ids, shadow = scene.canvas.pixels()
    camera = scene.canvas.camera
    ids = ids.astype(np.intp)
    parts = np.array(scene.canvas.parts, dtype=np.float64).astype(np.float32)
    column = np.arange(ids.shape[1], dtype=np.float32)[None] + np.float32(0.5 - camera.column)
    row = np.arange(ids.shape[0], dtype=np.float32)[:, None] + np.float32(0.5 - camera.horizon)
    constant, across, down = (parts[:, entry].take(ids, mode="clip") for entry in (4, 5, 6))
    across *= column
    down *= row
    constant += across
    constant += down
    depth = np.reciprocal(np.maximum(constant, np.float32(1e-3)))
    label = parts[:, 0].astype(np.uint8).take(ids, mode="clip")
    return Pixels(parts, ids, label, depth, column, row, shadow, camera)


def paint(seen: Pixels, dice: Dice, *, domain: Domain) -> Picture:
    """Paint every part in its material's colour, in the light of its facing, with texture."""
    look, (colours, roughness) = LOOKS[domain], palette(domain)
    material = seen.parts[:, 1].astype(np.intp)
    pick = seen.parts[:, 3] * colours.shape[1]
    facing = seen.parts[:, 2].astype(np.intp)
    facing = np.where((facing == SIDE) & (seen.parts[:, 5] > 0), 3, facing)
    front, left, right, up = (dice.within(ends) for ends in look.sun)
    light = np.array([front, left, up, right], dtype=np.float32)[facing]
    light *= np.float32(0.88) + np.float32(0.24) * fraction(pick * np.float32(0.19))
    colour = colours[material, pick.astype(np.intp)] * light[:, None]
    texture = cut_texture(textures(), dice, shape=seen.label.shape)
    strength = seen.by_part(roughness[material, 0]) * texture[0]
    strength += seen.by_part(roughness[material, 1]) * texture[1]
    strength += 1
    image = np.empty((3, *seen.label.shape), dtype=np.float32)
    for channel in range(3):
        np.multiply(seen.by_part(np.ascontiguousarray(colour[:, channel])), strength, out=image[channel])
    return image


@lru_cache(maxsize=2)
def palette(domain: Domain) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Colours by material and tint, (material, 420, 3), and the strength of each texture, (material, 2)."""
    look, steps = LOOKS[domain], 420
    table = np.zeros((len(MATERIALS), steps, 3), dtype=np.float32)
    strength = np.zeros((len(MATERIALS), 2), dtype=np.float32)
    for row, name in enumerate(MATERIALS):
        colours = np.array(look.palette[name], dtype=np.float32) / 255
        table[row] = colours[np.arange(steps) * len(colours) // steps]
        rough = ROUGHNESS.get(name, 0.05) * look.texture
        strength[row] = (0.2 * rough, rough) if name == "leaf" else (rough, 0)
    return table, strength


def fraction(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The fractional part; many times faster than the remainder by 1."""
    return values - np.floor(values)


def paint_gaps(image: Picture, seen: Pixels, *, look: Look) -> None:
    """Paint windows in facades and gaps between pickets, on a grid in metres on each wall and rail."""
    material, tint = seen.parts[:, 1], seen.parts[:, 3]
    wall, rail = material == FACADE, material == RAIL
    width = np.where(rail, np.float32(0.45), 2 + np.float32(1.6) * fraction(tint * 7))
    sides = seen.parts[:, 2] == SIDE
    ahead = np.where((wall | rail) & sides, 1 / width, 0).astype(np.float32)
    aside = np.where((wall | rail) & ~sides, 1 / (width * np.float32(seen.camera.focal)), 0).astype(
        np.float32
    )
    wide = np.where(wall, np.float32(0.24) + np.float32(0.16) * fraction(tint * 5), 0.26 * rail).astype(
        np.float32
    )
    high = np.where(wall, np.float32(0.24) + np.float32(0.12) * fraction(tint * 13), 1).astype(np.float32)
    strong = np.where(wall, np.float32(0.9), np.float32(0.5))
    # Coordinates on the wall: u counts windows from its corner, v counts storeys from the ground.
    u = seen.by_part(aside) * seen.column
    u += seen.by_part(ahead)
    u *= seen.depth
    v = seen.row * seen.depth
    v *= np.float32(-1 / (3.1 * seen.camera.focal))
    v += np.float32(seen.camera.height / 3.1)
    window, storey = np.floor(u), np.floor(v)
    u -= window + np.float32(0.5)
    v -= storey + np.float32(0.5)
    pane = (np.abs(u) < seen.by_part(wide)) & (np.abs(v) < seen.by_part(high))
    # Beyond some depth a window is narrower than a pixel: the wall fades to the mean of wall and glass.
    cover = np.clip(np.float32(1.6) - seen.depth * np.float32(1 / 45), np.float32(0.25), np.float32(1))
    cover *= seen.by_part(strong)
    window *= np.float32(0.37)
    window += storey * np.float32(0.61)
    flicker = fraction(window)
    cover *= pane
    flicker *= np.float32(0.6)
    flicker += np.float32(0.7)
    for channel, glass in enumerate(look.glass):
        image[channel] += cover * (flicker * np.float32(glass / 255) - image[channel])


def paint_ground(image: Picture, seen: Pixels, *, street: Street, look: Look) -> None:
    """Paint lane markings, the zebra crossing, joints between paving stones, and shadows."""
    camera = seen.camera
    top = max(int(camera.horizon) + 2, 0)
    row = seen.row[top:]
    if not row.size:
        return
    z = np.reciprocal(row) * np.float32(camera.focal * camera.height)
    pixel = z * np.float32(1 / camera.focal)
    x = np.multiply(seen.column, pixel)
    label = seen.label[top:]
    part = image[:, top:]
    mark = markings(x, z, pixel=pixel, street=street)
    mark *= (label == ROAD) * np.float32(0.85)
    part += mark * (np.float32(look.marking) - part)
    dark = (fraction(x * np.float32(1.25)) < np.float32(0.08)) & ((z < 16) & (label == SIDEWALK))
    light = seen.shadow[top:] * np.float32(-look.shadow / 165)
    light *= label <= SIDEWALK
    light += 1 - np.float32(0.16) * dark
    part *= light


def markings(x: Plane, z: Plane, *, pixel: Plane, street: Street) -> Plane:
    """How much of each ground pixel is painted white, (H, W), from 0 to 1.

    Args:
        x: Metres right of the camera, (H, W).
        z: Metres ahead, (H, 1).
        pixel: Width of a pixel in metres, (H, 1).
    """
    near, far = street.crossing
    lane = x * np.float32(1 / street.lane) - np.float32(street.middle / street.lane)
    nearest = np.floor(lane + np.float32(0.5))
    lane -= nearest
    cover = np.abs(lane) * (np.float32(-street.lane) / pixel)
    cover += np.float32(0.08) / pixel + np.float32(0.5)
    cover = np.clip(cover, np.float32(0), np.float32(1))
    number = np.abs(nearest)
    dashed = (fraction(z * np.float32(1 / 9)) < 0.45) & (number < street.lanes)
    cover *= dashed | (number == 0) | (number == street.lanes)
    cover *= (z < near - 4) | (z > far + 4)
    rows = np.flatnonzero(((z > near - 3.6) & (z < near - 0.8))[:, 0])
    if rows.size:
        stripes = slice(rows[0], rows[-1] + 1)
        inside = (x[stripes] > street.curbs[0]) & (x[stripes] < street.curbs[1])
        cover[stripes] = inside & (fraction(x[stripes]) < 0.5)
    return cover


def paint_sky(image: Picture, seen: Pixels, *, dice: Dice, look: Look) -> None:
    """Paint the sky paler towards the horizon, with clouds."""
    sky = seen.label == SKY
    rows = np.flatnonzero(sky.any(axis=1))
    if not rows.size:
        return
    bottom = int(rows[-1]) + 1
    part = image[:, :bottom]
    height = np.arange(bottom, dtype=np.float32)[:, None] / bottom
    paler = np.float32(0.55) * height * height
    cloud = cut_texture(textures()[2], dice, shape=(bottom, sky.shape[1])) * np.float32(1.6)
    cloud += np.float32(dice.within(look.clouds) * 2 - 1)
    cloud = np.clip(cloud, np.float32(0), np.float32(1)) * np.float32(0.6)
    cloud += paler - paler * cloud
    cloud *= sky[:bottom]
    part += cloud * (np.float32(0.95) - part)


def weather(image: Picture, seen: Pixels, *, dice: Dice, look: Look) -> None:
    """Add haze that hides what is far; the sky is left as it is."""
    density, between = dice.within(look.haze), dice.share()
    veil = np.minimum(seen.depth, np.float32(150)) * np.float32(density)
    veil /= veil + 1
    veil *= seen.label != SKY
    for channel, (first, second) in enumerate(zip(*look.haze_colours, strict=True)):
        colour = np.float32((first + between * (second - first)) / 255)
        image[channel] += veil * (colour - image[channel])


def photograph(image: Picture, dice: Dice, *, look: Look) -> NDArray[np.uint8]:
    """Apply blur, vignette, white balance, exposure, tone and noise; (H, W, 3), 0 to 255."""
    height, width = image.shape[1:]
    soft = dice.within(look.blur)
    if soft > 0.1:
        soften(image, soft)
    exposure, warmth, tone = dice.within(look.exposure), dice.within(look.warmth), dice.within(look.tone)
    gain = np.array([1 + warmth, 1.0, 1 - warmth], dtype=np.float32)[:, None, None] * np.float32(exposure)
    image *= gain
    corner = np.float32(dice.within(look.vignette) / 2)
    if corner > 0:
        down = np.arange(height, dtype=np.float32)[:, None] * np.float32(2 / height) - 1
        across = np.arange(width, dtype=np.float32)[None] * np.float32(2 / width) - 1
        image *= 1 - corner * (down * down + across * across)
    # value + tone * value * (1 - value), then to 0..255
    image *= np.float32(255 * (1 + tone)) - np.float32(255 * tone) * image
    noise = dice.within(look.noise)
    image += cut_texture(sensor_noise(), dice, shape=(height, width)) * np.float32(255 * noise)
    image += np.float32(0.5)
    return np.moveaxis(np.clip(image, np.float32(0), np.float32(255), out=image).astype(np.uint8), 0, 2)


def soften(image: Picture, share: float) -> None:
    """Blend all but the outermost pixels with their neighbours, weighted 1, 2, 1 in either direction, in place."""
    rows = image[:, :-1] + image[:, 1:]
    rows = rows[:, :-1] + rows[:, 1:]
    both = rows[:, :, :-1] + rows[:, :, 1:]
    both = both[:, :, :-1] + both[:, :, 1:]
    both *= np.float32(share / 16)
    inner = image[:, 1:-1, 1:-1]
    inner *= np.float32(1 - share)
    inner += both
