"""How the two domains look: what colours things have, and what light, weather and camera do to them."""

from dataclasses import dataclass

from segue.data.street_canvas import Range
from segue.data.street_habits import Domain

Colours = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Look:
    """The appearance of a domain.

    Attributes:
        palette: Colours of each material; a part's tint picks one.
        texture: How strongly things are textured, as a factor of each material's own roughness.
        sun: Brightness of parts that face the camera, the left, the right and up.
        haze: Haze per metre.
        haze_colours: The ends between which the haze's colour lies.
        glass: Colour of windows on buildings.
        shadow: Darkness of shadows on the ground.
        marking: Brightness of lane markings.
        clouds: How much of the sky is cloud.
        exposure: Brightness of the whole picture.
        tone: Curvature of the tone curve.
        warmth: White balance, red against blue.
        blur: Share of the blurred picture.
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
    "rail": ((176, 178, 182), (140, 120, 100)),
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
    "shirt": ((210, 50, 50), (50, 80, 180), (240, 220, 90), (230, 230, 230), (40, 120, 90), (150, 60, 140)),
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

TARGET_PALETTE: dict[str, Colours] = {
    "sky": ((176, 194, 216), (202, 206, 212), (160, 182, 212)),
    "asphalt": ((100, 97, 95), (112, 108, 103), (88, 86, 86)),
    "paving": ((142, 132, 122), (156, 142, 130), (130, 126, 122)),
    "curb": ((146, 142, 136),),
    "facade": ((136, 92, 74), (166, 148, 122), (120, 114, 110), (180, 170, 154), (150, 108, 80),
               (108, 102, 94)),
    "roof": ((92, 62, 52), (70, 68, 72)),
    "metal": ((70, 70, 68), (104, 106, 104), (58, 64, 58)),
    "rail": ((74, 72, 66), (104, 92, 78)),
    "housing": ((34, 36, 34),),
    "red lamp": ((66, 28, 26), (246, 84, 60)),
    "amber lamp": ((74, 58, 28), (246, 190, 80)),
    "green lamp": ((26, 60, 48), (110, 236, 180)),
    "sign face": ((176, 44, 46), (40, 74, 150), (206, 172, 60)),
    "sign mark": ((214, 212, 206), (214, 216, 220), (46, 44, 42)),
    "leaf": ((66, 86, 42), (86, 100, 50), (52, 70, 42), (122, 112, 54)),
    "bark": ((72, 62, 52), (56, 50, 46)),
    "skin": ((196, 156, 134), (112, 80, 64), (170, 130, 108)),
    "hair": ((36, 32, 30), (84, 64, 46), (140, 124, 96)),
    "shirt": ((52, 54, 62), (90, 40, 44), (40, 52, 80), (150, 146, 140), (70, 76, 62), (116, 104, 96)),
    "trousers": ((40, 44, 58), (46, 46, 48), (88, 80, 70)),
    "paint": ((40, 42, 46), (120, 124, 128), (190, 190, 188), (60, 70, 92), (96, 36, 38),
              (84, 86, 88), (150, 148, 142)),
    "glass": ((62, 68, 72), (44, 48, 52)),
    "tyre": ((30, 30, 30),),
    "rim": ((140, 140, 140), (204, 204, 198)),
    "head lamp": ((226, 222, 206),),
    "tail lamp": ((170, 36, 34),),
    "frame": ((50, 50, 54), (100, 40, 40), (60, 76, 92)),
    "spokes": ((96, 94, 92),),
    "distance": ((134, 132, 130), (120, 114, 108)),
}  # fmt: skip

LOOKS: dict[Domain, Look] = {
    "source": Look(
        palette=SOURCE_PALETTE, texture=0.45, sun=((0.78, 0.95), (0.62, 1.08), (0.62, 1.08), (0.95, 1.1)),
        haze=(0.001, 0.004), haze_colours=((170, 196, 228), (200, 210, 224)), glass=(70, 92, 120), shadow=0.5,
        marking=0.92, clouds=(0.0, 0.55), exposure=(0.88, 1.1), tone=(-0.1, 0.2), warmth=(-0.04, 0.04),
        blur=(0.0, 0.25), noise=(0.0, 0.008), vignette=(0.0, 0.0),
    ),
    "target": Look(
        palette=TARGET_PALETTE, texture=0.8, sun=((0.8, 1.0), (0.82, 1.05), (0.82, 1.05), (0.95, 1.1)),
        haze=(0.003, 0.009), haze_colours=((184, 192, 200), (210, 204, 194)), glass=(56, 62, 70), shadow=0.4,
        marking=0.78, clouds=(0.2, 0.8), exposure=(0.8, 1.1), tone=(-0.1, 0.3), warmth=(-0.08, 0.08),
        blur=(0.2, 0.75), noise=(0.008, 0.022), vignette=(0.1, 0.35),
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
"""How strongly texture shows on a material; 0.05 on all others but the sky."""
