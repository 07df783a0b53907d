"""How the two domains look: the colours of things, and what light, weather and camera do to them."""

from dataclasses import dataclass

from segue.data.streets.canvas import Range
from segue.data.streets.style import Domain

Colours = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Look:
    """The appearance of a domain.

    Attributes:
        palette: Colours of each material; a part's tint picks one.
        texture: How strongly things are textured, as a factor of each material's own roughness.
        sun: Brightness of parts that face the camera, the left, the right and up.
        haze_colours: The ends between which the haze's colour lies.
        shadow: Darkness of shadows on the ground.
        clouds: How much of the sky is cloud.
        tone: Curvature of the tone curve.
        warmth: White balance, red against blue.
        blur: The blurred picture's share of the final one.
        noise: Standard deviation of the sensor's noise.
        vignette: How much darker the corners are.
    """

    palette: dict[str, Colours]
    texture: float
    sun: tuple[Range, Range, Range, Range]
    haze: Range
    haze_colours: tuple[tuple[int, int, int], tuple[int, int, int]]
    glass: tuple[int, int, int]
    shadow: float
    marking: float
    clouds: Range
    exposure: Range
    tone: Range
    warmth: Range
    blur: Range
    noise: Range
    vignette: Range


SOURCE_PALETTE: dict[str, Colours] = {
    "sky": ((96, 152, 226), (118, 172, 238), (84, 138, 214)),
    "asphalt": ((82, 84, 92), (92, 94, 100), (74, 76, 84)),
    "paving": ((168, 162, 152), (182, 174, 160), (158, 156, 154)),
    "curb": ((206, 202, 194),),
    "facade": ((206, 160, 122), (186, 120, 96), (214, 196, 160), (160, 150, 158), (190, 176, 190),
               (142, 118, 110)),
    "roof": ((150, 72, 56), (110, 66, 60)),
    "metal": ((88, 92, 96), (112, 116, 118), (70, 76, 74)),
    "rail": ((206, 210, 216), (150, 96, 52), (62, 120, 96)),
    "housing": ((30, 32, 30),),
    "red lamp": ((90, 22, 20), (255, 50, 40)),
    "amber lamp": ((92, 66, 16), (255, 190, 40)),
    "green lamp": ((18, 74, 36), (60, 250, 120)),
    "sign face": ((214, 32, 36), (34, 84, 200), (240, 200, 40)),
    "sign mark": ((244, 244, 240), (240, 244, 250), (30, 30, 30)),
    "leaf": ((62, 128, 44), (84, 150, 52), (50, 108, 46), (104, 160, 58)),
    "bark": ((104, 78, 56), (84, 64, 48)),
    "skin": ((232, 182, 150), (150, 100, 74), (206, 154, 120)),
    "hair": ((40, 30, 24), (110, 76, 40), (190, 160, 100)),
    "shirt": ((210, 50, 50), (50, 80, 180), (240, 220, 90), (230, 230, 230), (70, 72, 78), (150, 60, 140)),
    "trousers": ((40, 50, 90), (60, 60, 64), (130, 110, 84)),
    "paint": ((200, 30, 34), (30, 70, 170), (236, 236, 236), (30, 32, 36), (240, 180, 30),
              (150, 154, 160), (30, 120, 90)),
    "glass": ((46, 66, 86), (36, 50, 66)),
    "tyre": ((24, 24, 26),),
    "rim": ((190, 192, 196), (240, 240, 236)),
    "head lamp": ((250, 248, 230),),
    "tail lamp": ((210, 24, 24),),
    "frame": ((200, 40, 40), (40, 90, 190), (40, 150, 90)),
    "spokes": ((128, 130, 134),),
    "distance": ((150, 156, 170), (168, 160, 160)),
}  # fmt: skip

TARGET_PALETTE: dict[str, Colours] = SOURCE_PALETTE | {
    "sky": ((155, 183, 219), (181, 197, 219), (140, 171, 213)),
    "asphalt": ((95, 93, 94), (106, 103, 102), (83, 83, 85)),
    "paving": ((149, 139, 129), (163, 150, 137), (137, 133, 130)),
    "curb": ((162, 158, 151),),
    "facade": ((147, 102, 81), (169, 144, 119), (134, 125, 117), (177, 167, 155), (156, 118, 97),
               (112, 104, 96)),
    "roof": ((103, 64, 53), (78, 67, 69)),
    "leaf": ((65, 92, 42), (86, 107, 50), (52, 76, 43), (120, 119, 55)),
    "bark": ((79, 65, 53), (61, 53, 47)),
    "paint": ((34, 45, 49), (135, 137, 136), (207, 207, 204), (51, 72, 120), (146, 31, 40), (95, 99, 105),
              (166, 152, 111)),
    "glass": ((59, 67, 75), (43, 49, 55)),
    "head lamp": ((231, 227, 211),),
    "tail lamp": ((178, 33, 32),),
    "distance": ((137, 137, 138), (129, 124, 119)),
}  # fmt: skip
"""Materials that are the source's here look alike in both domains: signs, lights, rails, clothes, bicycles."""

LOOKS: dict[Domain, Look] = {
    "source": Look(
        palette=SOURCE_PALETTE, texture=0.45, sun=((0.78, 0.95), (0.62, 1.08), (0.62, 1.08), (0.95, 1.1)),
        haze=(0.001, 0.004), haze_colours=((170, 196, 228), (200, 210, 224)), glass=(70, 92, 120), shadow=0.5,
        marking=0.92, clouds=(0.0, 0.55), exposure=(0.88, 1.1), tone=(-0.1, 0.2), warmth=(-0.04, 0.04),
        blur=(0.0, 0.25), noise=(0.0, 0.008), vignette=(0.0, 0.0),
    ),
    "target": Look(
        palette=TARGET_PALETTE, texture=0.8, sun=((0.8, 1.0), (0.82, 1.05), (0.82, 1.05), (0.95, 1.1)),
        haze=(0.003, 0.01), haze_colours=((184, 192, 200), (210, 204, 194)), glass=(56, 62, 70), shadow=0.4,
        marking=0.78, clouds=(0.2, 0.8), exposure=(0.75, 1.05), tone=(-0.1, 0.3), warmth=(-0.04, 0.15),
        blur=(0.2, 0.75), noise=(0.008, 0.022), vignette=(0.1, 0.4),
    ),
}  # fmt: skip
"""A clean render under a blue sky, and a camera under a pale one."""

ROUGHNESS = {
    "sky": 0.0,
    "leaf": 1.0,
    "asphalt": 0.3,
    "paving": 0.3,
    "facade": 0.22,
    "roof": 0.35,
    "bark": 0.4,
    "distance": 0.1,
}
"""How strongly texture shows on a material; 0.05 on those that are not listed."""
