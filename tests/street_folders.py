"""Street scenes and their objects as files."""

import json
from pathlib import Path

from PIL import Image

from segue.data.streets.cutouts import OBJECT_CLASSES, StreetObjects
from segue.data.streets.dataset import STREET_CLASSES, Domain, Split, StreetScenes
from segue.types import IGNORE


def write_folder(
    root: Path, domain: Domain, *, split: Split, count: int, size: tuple[int, int] | None = None
) -> None:
    """Write ``images/SPLIT/NAME.png``, ``labels/SPLIT/NAME.png`` and ``classes.json``."""
    scenes = StreetScenes(domain, split=split, count=count, size=size)
    folders = [root / kind / split for kind in ("images", "labels")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        file = f"{scenes.name(index)}.png"
        Image.fromarray(scenes.image(index).permute(1, 2, 0).numpy()).save(folders[0] / file)
        Image.fromarray(scenes.label(index).numpy()).save(folders[1] / file)
    listed = {"classes": list(STREET_CLASSES.names), "ignore": IGNORE}
    (root / "classes.json").write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")


def write_class_folders(
    root: Path, domain: Domain, *, split: Split, count: int, size: tuple[int, int] | None = None
) -> None:
    """Write pictures as ``SPLIT/CLASS/NAME.png`` and the list ``image_list/SPLIT.txt``, as published data sets lie."""
    pictures = StreetObjects(domain, split=split, count=count, size=size)
    lines: list[str] = []
    for index in range(count):
        number = int(pictures.label(index))
        place = Path(split, OBJECT_CLASSES.names[number], f"{pictures.name(index)}.png")
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pictures.image(index).permute(1, 2, 0).numpy()).save(root / place)
        lines.append(f"{place.as_posix()} {number}\n")
    (root / "image_list").mkdir(parents=True, exist_ok=True)
    (root / "image_list" / f"{split}.txt").write_text("".join(lines), encoding="utf-8")
