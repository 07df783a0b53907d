"""Where a crop lies in a picture, and cutting it from maps and images on one pixel grid."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class Axis:
    """Where a crop lies along one side of a picture, after resizing and before mirroring.

    Attributes:
        length: The picture's own side.
        resized: The side after resizing.
        start: The crop's first pixel on the resized side.
        size: The crop's side; what lies beyond the resized side is padding.
    """

    length: int
    resized: int
    start: int
    size: int

    @property
    def shown(self) -> int:
        """How many of the crop's pixels show the picture; the others, after them, are padding."""
        return min(self.size, self.resized - self.start)

    @property
    def interval(self) -> tuple[float, float]:
        """The interval that is shown, in the picture's own pixels."""
        step = self.length / self.resized
        return self.start * step, min((self.start + self.shown) * step, float(self.length))

    def nearest(self) -> slice | np.ndarray:
        """The picture's own pixel under the centre of each shown one, in exact integer arithmetic."""
        if self.resized == self.length:
            return slice(self.start, self.start + self.shown)
        positions = np.arange(self.start, self.start + self.shown, dtype=np.int64)
        return (2 * positions + 1) * self.length // (2 * self.resized)

    def reach(self) -> tuple[int, int]:
        """The picture's own pixels that the shown ones depend on: the filter spans a pixel of either grid."""
        first, last = self.interval
        support = max(1.0, self.length / self.resized) + 1
        return max(0, int(first - support)), min(self.length, int(last + support) + 1)


@dataclass(frozen=True)
class Placement:
    """A crop of a picture; padding is mirrored, too."""

    rows: Axis
    columns: Axis
    mirrored: bool

    def on(self, shown: Tensor) -> "Placement":
        """The same crop of the picture as an image (3,h,w) or a map (h,w) of another size shows it."""
        rows, columns = shown.shape[-2:]
        if (rows, columns) == (self.rows.length, self.columns.length):
            return self
        return replace(
            self, rows=replace(self.rows, length=rows), columns=replace(self.columns, length=columns)
        )

    def cut(self, values: Tensor, *, outside: float) -> Tensor:
        """The crop of a map (h, w) or (h, w, k): the nearest value at each pixel, ``outside`` in the padding."""
        shown = values.numpy()[self.rows.nearest()][:, self.columns.nearest()]
        return torch.from_numpy(self._framed(shown, outside))

    def cut_image(self, image: UInt8[Tensor, "3 h w"], fill: tuple[int, int, int]) -> UInt8[Tensor, "3 a b"]:
        """The crop of an image, ``fill`` in the padding; its memory is channels last, and best the image's, too.

        Resizing weights pixels by a triangle, as wide as an old pixel when enlarging and as a new one when
        shrinking, so that nothing is skipped. The result is the crop of the whole resized picture, but only
        the pixels under it are touched.
        """
        pixels = image.permute(1, 2, 0).numpy()
        resized = self.rows.resized != self.rows.length or self.columns.resized != self.columns.length
        shown = self._resampled(pixels) if resized else pixels[self.rows.nearest(), self.columns.nearest()]
        return torch.from_numpy(self._framed(shown, fill)).permute(2, 0, 1)

    def _resampled(self, pixels: np.ndarray) -> np.ndarray:
        (top, bottom), (left, right) = self.rows.interval, self.columns.interval
        (first_row, last_row), (first_column, last_column) = self.rows.reach(), self.columns.reach()
        region = np.ascontiguousarray(pixels[first_row:last_row, first_column:last_column])
        box = (left - first_column, top - first_row, right - first_column, bottom - first_row)
        size = (self.columns.shown, self.rows.shown)
        return np.array(Image.fromarray(region).resize(size, Image.Resampling.BILINEAR, box=box))

    def _framed(self, shown: np.ndarray, outside: float | tuple[int, int, int]) -> np.ndarray:
        """What is shown, in a new array of the crop's size, mirrored where the crop is."""
        if self.mirrored:
            shown = torch.from_numpy(shown).flip(1).numpy()  # numpy would copy byte by byte
        rows, columns = shown.shape[:2]
        if (rows, columns) == (self.rows.size, self.columns.size):
            return shown if self.mirrored else shown.copy()
        framed = np.empty((self.rows.size, self.columns.size, *shown.shape[2:]), dtype=shown.dtype)
        framed[:] = outside
        framed[:rows, -columns if self.mirrored else 0 :][:, :columns] = shown
        return framed
