"""How the published data sets lie on disk and what their label values mean: a table, one entry each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from segue.classes import CITYSCAPES_19, Colour

TRAIN_VAL = {"train": ("train",), "val": ("val",)}

WEATHERS = ("fog", "night", "rain", "snow")
"""ACDC's conditions: ``train`` is all four of them, ``fog/train`` one."""

CITYSCAPES_IDS = dict(
    enumerate(
        (
            "unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground", "road",
            "sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge", "tunnel",
            "pole", "polegroup", "traffic light", "traffic sign", "vegetation", "terrain", "sky", "person", "rider",
            "car", "truck", "bus", "caravan", "trailer", "train", "motorcycle", "bicycle", "license plate",
        )
    )
)  # fmt: skip
"""Cityscapes' label ids. It stores no 34 (its licence plates have the id -1); GTA5, which borrowed them, does."""

CITYSCAPES_TRAIN_IDS = dict(enumerate(CITYSCAPES_19.names))

SYNTHIA_IDS = dict(
    enumerate(
        (
            "void", "sky", "building", "road", "sidewalk", "fence", "vegetation", "pole", "car", "traffic sign",
            "pedestrian", "bicycle", "motorcycle", "parking slot", "road work", "traffic light", "terrain", "rider",
            "truck", "bus", "train", "wall", "lane marking",
        )
    )
)  # fmt: skip
"""SYNTHIA-RAND-CITYSCAPES. Terrain, truck and train have ids but no pixel in any picture."""

CAMVID_11 = dict(
    enumerate(
        (
            "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian",
            "bicyclist",
        )
    )
)  # fmt: skip
"""CamVid in SegNet's version, where 11 means unlabelled."""

CAMVID_32 = {
    "animal": (64, 128, 64), "archway": (192, 0, 128), "bicyclist": (0, 128, 192), "bridge": (0, 128, 64),
    "building": (128, 0, 0), "car": (64, 0, 128), "cart luggage pram": (64, 0, 192), "child": (192, 128, 64),
    "column pole": (192, 192, 128), "fence": (64, 64, 128), "lane marking driving": (128, 0, 192),
    "lane marking non-driving": (192, 0, 64), "misc text": (128, 128, 64), "motorcycle scooter": (192, 0, 192),
    "other moving": (128, 64, 64), "parking block": (64, 192, 128), "pedestrian": (64, 64, 0),
    "road": (128, 64, 128), "road shoulder": (128, 128, 192), "sidewalk": (0, 0, 192),
    "sign": (192, 128, 128), "sky": (128, 128, 128), "suv pickup truck": (64, 128, 192),
    "traffic cone": (0, 0, 64), "traffic light": (0, 64, 64), "train": (192, 64, 128), "tree": (128, 128, 0),
    "truck bus": (192, 128, 192), "tunnel": (64, 0, 64), "vegetation misc": (192, 192, 0),
    "wall": (64, 192, 0),
}  # fmt: skip
"""CamVid as first published: colour masks, black where unlabelled."""

CAMVID_TO_CITYSCAPES = {
    "pavement": "sidewalk",
    "tree": "vegetation",
    "sign": "traffic sign",
    "pedestrian": "person",
}

VISTAS_66 = dict(
    enumerate(
        (
            "bird", "ground animal", "curb", "fence", "guard rail", "barrier", "wall", "bike lane",
            "crosswalk - plain", "curb cut", "parking", "pedestrian area", "rail track", "road", "service lane",
            "sidewalk", "bridge", "building", "tunnel", "person", "bicyclist", "motorcyclist", "other rider",
            "lane marking - crosswalk", "lane marking - general", "mountain", "sand", "sky", "snow", "terrain",
            "vegetation", "water", "banner", "bench", "bike rack", "billboard", "catch basin", "cctv camera",
            "fire hydrant", "junction box", "mailbox", "manhole", "phone booth", "pothole", "street light", "pole",
            "traffic sign frame", "utility pole", "traffic light", "traffic sign (back)", "traffic sign (front)",
            "trash can", "bicycle", "boat", "bus", "car", "caravan", "motorcycle", "on rails", "other vehicle",
            "trailer", "truck", "wheeled slow", "car mount", "ego vehicle", "unlabeled",
        )
    )
)  # fmt: skip
"""Mapillary Vistas 1.2, in lower case."""

VISTAS_TO_CITYSCAPES = {
    "lane marking - general": "road",
    "manhole": "road",
    "curb": "sidewalk",
    "utility pole": "pole",
    "traffic sign (front)": "traffic sign",
    "bicyclist": "rider",
    "motorcyclist": "rider",
    "other rider": "rider",
    "on rails": "train",
}
"""What the domain-generalisation papers merge; they ignore every further class that Cityscapes lacks."""


@dataclass(frozen=True)
class Layout:
    """One published data set.

    A name ends where ``image_end`` or ``label_end`` begins; images and labels of one name belong together.

    Attributes:
        images: The folder of images, with ``{split}`` where the split stands.
        labels: The folder of labels.
        image_end: What image files end in.
        label_end: What label files end in.
        names: The data set's own class of every label value.
        class_map: Its classes that are Cityscapes classes by another name; those that are none are ignored.
        splits: The folders of each split; empty if the data set is not divided.
        label_kind: Grey, a palette, the first of three 16-bit channels, or the classes' colours.
        size: Rows and columns of its pictures; where they vary, of a usual one.
        example: A picture's name, given its number.
        unlabelled: Splits that come without labels.
        left_out: Pictures that are of no use.
        ignored: Label values without a class.
        colours: The colours of the label values, where labels are of the kind "colour".
        depths: The folder of depths that CorDA learns, and what their values mean; see ``DepthSettings``.
    """

    images: str
    labels: str
    image_end: str
    label_end: str
    names: Mapping[int, str]
    example: str
    size: tuple[int, int]
    class_map: Mapping[str, str] = field(default_factory=dict)
    splits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    label_kind: Literal["grey", "palette", "deep", "colour"] = "grey"
    unlabelled: frozenset[str] = frozenset()
    left_out: frozenset[str] = frozenset()
    ignored: frozenset[int] = frozenset({255})
    colours: Mapping[int, Colour] = field(default_factory=dict)
    depths: tuple[str, Literal["mono", "stereo", "synthia"]] | None = None


LAYOUTS: dict[str, Layout] = {
    "gta5": Layout(
        "images", "labels", ".png", ".png", CITYSCAPES_IDS, "{:05d}", (1052, 1914),
        label_kind="palette",
        left_out=frozenset({"15188", "17705"}),  # blank pictures with full labels
        depths=("depth", "mono"),
    ),
    "synthia": Layout(
        "RGB", "GT/LABELS", ".png", ".png", SYNTHIA_IDS, "{:07d}", (760, 1280),
        class_map={"pedestrian": "person"},
        label_kind="deep",
        depths=("Depth/Depth", "synthia"),
    ),
    "cityscapes": Layout(
        "leftImg8bit/{split}", "gtFine/{split}", "_leftImg8bit.png", "_gtFine_labelIds.png", CITYSCAPES_IDS,
        "town/town_{:06d}_000019", (1024, 2048),
        splits=TRAIN_VAL,
        depths=("depth/{split}", "stereo"),  # as `segue depth` writes them
    ),
    "acdc": Layout(
        "rgb_anon/{split}", "gt/{split}", "_rgb_anon.png", "_gt_labelIds.png", CITYSCAPES_IDS,
        "GOPR0001/GOPR0001_frame_{:06d}", (1080, 1920),
        splits={part: tuple(f"{weather}/{part}" for weather in WEATHERS) for part in TRAIN_VAL}
        | {f"{weather}/{part}": (f"{weather}/{part}",) for weather in WEATHERS for part in TRAIN_VAL},
    ),
    "dark_zurich": Layout(
        "rgb_anon/{split}", "gt/{split}", "_rgb_anon.png", "_gt_labelIds.png", CITYSCAPES_IDS,
        "GOPR0001/GOPR0001_frame_{:06d}", (1080, 1920),
        splits={"train": ("train/night",), "val": ("val/night",)},
        unlabelled=frozenset({"train"}),
    ),
    "bdd100k": Layout(
        "images/10k/{split}", "labels/sem_seg/masks/{split}", ".jpg", ".png", CITYSCAPES_TRAIN_IDS,
        "{:08x}", (720, 1280),
        splits=TRAIN_VAL,
    ),
    "mapillary": Layout(
        "{split}/images", "{split}/labels", ".jpg", ".png", VISTAS_66, "{:022d}", (1080, 1920),
        class_map=VISTAS_TO_CITYSCAPES,
        splits={"training": ("training",), "validation": ("validation",)},
        label_kind="palette",
    ),
    "camvid": Layout(
        "{split}", "{split}annot", ".png", ".png", CAMVID_11, "0001TP_{:06d}", (360, 480),
        class_map=CAMVID_TO_CITYSCAPES,
        splits={**TRAIN_VAL, "test": ("test",)},
        ignored=frozenset({11, 255}),
    ),
    "camvid_32": Layout(
        "701_StillsRaw_full", "LabeledApproved_full", ".png", "_L.png", dict(enumerate(CAMVID_32)),
        "0001TP_{:06d}", (720, 960),
        class_map={
            **CAMVID_TO_CITYSCAPES, "child": "person", "column pole": "pole", "lane marking driving": "road",
            "lane marking non-driving": "road", "motorcycle scooter": "motorcycle", "suv pickup truck": "car",
            "vegetation misc": "vegetation",
        },
        label_kind="colour",
        ignored=frozenset({len(CAMVID_32)}),
        colours=dict(enumerate([*CAMVID_32.values(), (0, 0, 0)])),
    ),
}  # fmt: skip
"""The published data sets by the name that ``dataset`` takes in a domain's settings."""

GENERATED = ("street_scenes", "street_objects")
"""Data sets that are drawn, not read from files."""

WHOLE = ("class_folders", "image_list", "street_objects")
"""The data sets whose pictures have one class each."""

DATASETS = tuple(dict.fromkeys(("folder", *GENERATED, *WHOLE, *LAYOUTS)))
"""All that ``dataset`` may be: image and label files in folders, generated streets, and the published ones."""
