"""The built-in data set: labelled street scenes in two domains, drawn on demand."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from segue.data.dataset import Dataset, digest
from segue.data.depth_file import CENTIMETRES, in_centimetres, nearness_of
from segue.data.streets.canvas import STREET_CLASSES, Dice
from segue.data.streets.render import look_at, shade
from segue.data.streets.scene import draw_street
from segue.data.streets.style import Domain
from segue.types import IGNORE

__all__ = ["STREET_CLASSES", "Domain", "Split", "StreetScenes", "render", "write_folder"]

Split = Literal["train", "val"]

DOMAINS: tuple[Domain, ...] = ("source", "target")
SPLITS: tuple[Split, ...] = ("train", "val")

USUAL_SIZE = (128, 256)
"""The default height and width of a scene."""

EDITION = "2"
"""To be raised with every change of what is drawn, so that caches become invalid."""


def render(
    seed: int, domain: Domain, *, size: tuple[int, int] = USUAL_SIZE
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw one street.

    "source" looks like a clean render of a wide street between high buildings, "target" like the picture of a
    camera in a narrower street with lower houses and more trees. The same arguments give the same pixels
    on every machine.

    Args:
        seed: From 0; each seed is another street, and so is each domain.
        size: Height and width in pixels, at least 16 each.

    Returns:
        The picture (H, W, 3), RGB, and its training ids (H, W); no pixel is unlabelled.
    """
    check(seed, domain, size=size)
    dice = Dice((seed, DOMAINS.index(domain)))
    return shade(draw_street(dice, domain, size=size), dice, domain=domain)


def check(seed: int, domain: str, *, size: tuple[int, int]) -> None:
    """Refuse arguments of :func:`render` that cannot be drawn.

    Raises:
        ValueError: If an argument is out of range.
    """
    if domain not in DOMAINS:
        raise ValueError(f"unknown domain {domain!r} of the street scenes; choose source or target")
    if seed < 0:
        raise ValueError(f"seed {seed} of the street scenes is negative; take a number from 0")
    if min(size) < 16:
        raise ValueError(f"size {size[0]}x{size[1]} of the street scenes is too small; take at least 16x16")


SMALL = 128 * 256
"""Many scenes of at most this many pixels are kept in memory: 1200 of them take 160 MB."""


class StreetScenes(Dataset):
    """Street scenes of one domain and split, rendered when they are read.

    Domains, splits and seeds never share a scene; a longer data set begins with the scenes of a shorter one.

    Args:
        seed: Another number is another data set of the same kind.

    Raises:
        ValueError: If an argument is out of range.
    """

    classes = STREET_CLASSES
    has_depth = True

    def __init__(
        self,
        domain: Domain,
        *,
        split: Split = "train",
        count: int,
        size: tuple[int, int] = USUAL_SIZE,
        seed: int = 0,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r} of the street scenes; choose train or val")
        if count < 1:
            raise ValueError(f"count {count} of street scenes; take at least one")
        check(seed, domain, size=size)
        self.domain: Domain = domain
        self.split: Split = split
        self.size = size
        self.seed = seed
        self._count = count

    def __len__(self) -> int:
        return self._count

    def name(self, index: int) -> str:
        """The domain, the split and the number of a scene, as in ``target_val_00012``."""
        return f"{self.domain}_{self.split}_{self._checked(index):05d}"

    def image(self, index: int) -> UInt8[Tensor, "3 h w"]:
        """The picture as RGB, 0 to 255."""
        picture, _ = rendered(self.scene_seed(index), self.domain, self.size)
        return torch.from_numpy(picture).permute(2, 0, 1).clone(memory_format=torch.contiguous_format)

    def label(self, index: int) -> UInt8[Tensor, "h w"]:
        """The training ids; no pixel is unlabelled."""
        _, label = rendered(self.scene_seed(index), self.domain, self.size)
        return torch.from_numpy(label).clone()

    def depth(self, index: int) -> Float[Tensor, "h w"]:
        """The inverse of every pixel's depth."""
        depth = depth_of(self.scene_seed(index), self.domain, self.size)
        return torch.from_numpy(nearness_of(depth * CENTIMETRES))

    def fingerprint(self) -> str:
        """Depends on everything that the scenes depend on."""
        dependencies = (EDITION, self.domain, self.split, self._count, *self.size, self.seed)
        return digest(["street_scenes", *map(str, dependencies), *self.classes.names])

    def scene_seed(self, index: int) -> int:
        """The seed with which :func:`render` draws this scene."""
        words = (self.seed, SPLITS.index(self.split), self._checked(index))
        low, high = np.random.SeedSequence(words).generate_state(2, np.uint64).tolist()
        return high << 64 | low

    def _checked(self, index: int) -> int:
        if not 0 <= index < self._count:
            raise IndexError(f"scene {index} of {self._count}")
        return index


Rendering = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""RGB (H,W,3) and training ids (H,W)."""


def rendered(seed: int, domain: Domain, size: tuple[int, int]) -> Rendering:
    """A scene as :func:`render` draws it; small ones are kept, so that a training run draws each of them once.

    Of larger ones only the last is kept: image and label of one index are asked for one after the other.
    """
    return (_among_many if size[0] * size[1] <= SMALL else _last)(seed, domain, size)


@lru_cache(maxsize=1200)
def _among_many(seed: int, domain: Domain, size: tuple[int, int]) -> Rendering:
    return render(seed, domain, size=size)


@lru_cache(maxsize=1)
def _last(seed: int, domain: Domain, size: tuple[int, int]) -> Rendering:
    return render(seed, domain, size=size)


@lru_cache(maxsize=1200)
def _kept_depth(seed: int, domain: Domain, size: tuple[int, int]) -> NDArray[np.uint16]:
    street = draw_street(Dice((seed, DOMAINS.index(domain))), domain, size=size)
    return in_centimetres(look_at(street).depth)


def depth_of(seed: int, domain: Domain, size: tuple[int, int] = USUAL_SIZE) -> NDArray[np.uint16]:
    """The depth (H, W) of a scene that :func:`render` draws, in centimetres; 65535 in the sky.

    Scenes are drawn once more for it, without paint; depths of small ones are kept.
    """
    check(seed, domain, size=size)
    return (_kept_depth if size[0] * size[1] <= SMALL else _kept_depth.__wrapped__)(seed, domain, size)


def write_folder(
    root: Path, domain: Domain, *, split: Split, count: int, size: tuple[int, int] = USUAL_SIZE, seed: int = 0
) -> None:
    """Write scenes as a data set of files; arguments and errors are those of :class:`StreetScenes`.

    They are ``images/SPLIT/NAME.png``, ``labels/SPLIT/NAME.png`` and ``classes.json``; labels are training
    ids in one channel. The folder is made if it is missing, and files of the same name are replaced.
    """
    scenes = StreetScenes(domain, split=split, count=count, size=size, seed=seed)
    folders = [root / kind / split for kind in ("images", "labels")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        file = f"{scenes.name(index)}.png"
        Image.fromarray(scenes.image(index).permute(1, 2, 0).numpy()).save(folders[0] / file)
        Image.fromarray(scenes.label(index).numpy()).save(folders[1] / file)
    listed: dict[str, Any] = {"classes": list(STREET_CLASSES.names), "ignore": IGNORE}
    (root / "classes.json").write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
