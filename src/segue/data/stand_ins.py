"""Tiny stand-ins for the published data sets: street scenes under their names, folders and label ids."""

import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segue.classes import CITYSCAPES_19, class_list
from segue.data.depth_file import as_disparity, write_depth
from segue.data.label_file import deep_png
from segue.data.published import published_table
from segue.data.published_layouts import LAYOUTS, Layout
from segue.data.streets.dataset import STREET_CLASSES, StreetScenes, depth_of
from segue.data.streets.style import Domain
from segue.files import part_beside, write_bytes


@dataclass(frozen=True)
class SampleSet:
    """One data set to be made.

    Attributes:
        folder: Where it goes, relative to the sample's folder.
        splits: Empty for a data set that is not divided.
        look: Whether its scenes look like renders ("source") or like a camera's pictures ("target").
    """

    dataset: str
    folder: str
    splits: tuple[str, ...]
    look: Domain


def write_sample(
    root: Path, sets: Sequence[SampleSet], *, pictures: int = 4, size: tuple[int, int] | None = None
) -> None:
    """Write samples of data sets, each laid out as its authors laid it out.

    The scenes are those of the built-in data set; splits do not share any. Everything is written beside the
    folder and then renamed.

    Args:
        pictures: How many for each split, and of each condition where a split has several.
        size: Rows and columns, at least 16 each; None for an eighth of each data set's own.

    Raises:
        ValueError: If the folder is not empty, or numbers are out of range.
        OSError: If it cannot be written.
    """
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise ValueError(f"{root}: it holds something already; name a new folder")
    beside = part_beside(root)
    try:
        for made in sets:
            _write_set(beside / made.folder, made, pictures=pictures, size=size)
        beside.replace(root)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write_set(root: Path, made: SampleSet, *, pictures: int, size: tuple[int, int] | None) -> None:
    layout = LAYOUTS[made.dataset]
    size = size or (layout.size[0] // 8, layout.size[1] // 8)
    values = _values(made.dataset)
    for number, split in enumerate(made.splits or ("",)):
        folders = layout.splits.get(split, ("",))
        scenes = StreetScenes(
            made.look,
            split="val" if split.startswith("val") else "train",
            count=pictures * len(folders),
            size=size,
            seed=number,
        )
        for index in range(len(scenes)):
            folder = folders[index % len(folders)]
            name = layout.example.format(index + 1)
            image = Image.fromarray(scenes.image(index).permute(1, 2, 0).numpy())
            place = root / layout.images.format(split=folder) / f"{name}{layout.image_end}"
            write_bytes(place, _encoded(image, "JPEG" if place.suffix == ".jpg" else "PNG"))
            if split not in layout.unlabelled:
                place = root / layout.labels.format(split=folder) / f"{name}{layout.label_end}"
                write_bytes(place, _label_file(values[scenes.label(index).numpy()], layout))
            if layout.depths is not None:
                parent, encoding = layout.depths
                depth = depth_of(scenes.scene_seed(index), made.look, size)
                place = root / parent.format(split=folder) / f"{name}.png"
                write_depth(place, as_disparity(depth) if encoding == "mono" else depth)


def _values(dataset: str) -> NDArray[np.uint8]:
    """The data set's label value of each class of the street scenes; an ignored value where it has no such class."""
    layout = LAYOUTS[dataset]
    ids = published_table(dataset, CITYSCAPES_19, {}).ids
    values: list[int] = []
    for name in STREET_CLASSES.names:
        meaning = [value for value in layout.names if ids[value] == CITYSCAPES_19.index(name)]
        namesakes = [value for value in meaning if layout.names[value] == name]
        values.append((namesakes or meaning or [min(layout.ignored)])[0])
    return np.array(values, dtype=np.uint8)


def _label_file(label: NDArray[np.uint8], layout: Layout) -> bytes:
    if layout.label_kind == "deep":
        channels = np.zeros((*label.shape, 3), dtype=np.uint16)
        channels[..., 0] = label
        return deep_png(channels)
    if layout.label_kind == "colour":
        colours = np.array([layout.colours[value] for value in range(len(layout.colours))], dtype=np.uint8)
        return _encoded(Image.fromarray(colours[label]), "PNG")
    picture = Image.fromarray(label)
    if layout.label_kind == "palette":
        colours = class_list(list(layout.names.values())).colours
        picture.putpalette([part for colour in colours for part in colour])
    return _encoded(picture, "PNG")


def _encoded(picture: Image.Image, kind: Literal["JPEG", "PNG"]) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind)
    return content.getvalue()
