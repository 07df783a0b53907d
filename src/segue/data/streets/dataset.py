"""The built-in data set: labelled street scenes in two domains, drawn on demand."""

from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from segue.data.dataset import Dataset, digest
from segue.data.depth_file import CENTIMETRES, in_centimetres, nearness_of
from segue.data.streets.canvas import STREET_CLASSES, Dice
from segue.data.streets.render import look_at, shade
from segue.data.streets.scene import draw_street
from segue.data.streets.style import Domain

__all__ = ["STREET_CLASSES", "Domain", "Split", "StreetScenes", "render"]

Split = Literal["train", "val"]

DOMAINS: tuple[Domain, ...] = ("source", "target")
SPLITS: tuple[Split, ...] = ("train", "val")

USUAL_SIZE = (128, 256)
"""The default height and width of a scene."""


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


class Drawn(Dataset):
    """Pictures of one domain and split, drawn when they are read.

    Domains, splits and seeds never share a picture; a longer data set begins with the pictures of a shorter one.

    Args:
        size: Height and width of the pictures; the kind's usual one by default.
        seed: Another number is another data set of the same kind.

    Raises:
        ValueError: If an argument is out of range.
    """

    called: ClassVar[str]
    edition: ClassVar[str]  # to be raised with every change of what is drawn, so that caches become invalid
    usual: ClassVar[tuple[int, int]]

    def __init__(
        self,
        domain: Domain,
        *,
        split: Split = "train",
        count: int,
        size: tuple[int, int] | None = None,
        seed: int = 0,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r} of the {self.called}; choose train or val")
        if count < 1:
            raise ValueError(f"count {count} of {self.called}; take at least one")
        self.domain: Domain = domain
        self.split: Split = split
        self.size = size or self.usual
        self.seed = seed
        self._count = count
        check(seed, domain, size=self.size)

    def __len__(self) -> int:
        return self._count

    def name(self, index: int) -> str:
        """The domain, the split and the number of a picture, as in ``target_val_00012``."""
        return f"{self.domain}_{self.split}_{self._checked(index):05d}"

    def fingerprint(self) -> str:
        """Depends on everything that the pictures depend on."""
        dependencies = (self.edition, self.domain, self.split, self._count, *self.size, self.seed)
        return digest([self.called.replace(" ", "_"), *map(str, dependencies), *self.classes.names])

    def _checked(self, index: int) -> int:
        if not 0 <= index < self._count:
            raise IndexError(f"picture {index} of {self._count}")
        return index


class StreetScenes(Drawn):
    """Street scenes of one domain and split."""

    classes = STREET_CLASSES
    has_depth = True
    called = "street scenes"
    edition = "2"
    usual = USUAL_SIZE

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

    def scene_seed(self, index: int) -> int:
        """The seed with which :func:`render` draws this scene."""
        words = (self.seed, SPLITS.index(self.split), self._checked(index))
        low, high = np.random.SeedSequence(words).generate_state(2, np.uint64).tolist()
        return high << 64 | low


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
