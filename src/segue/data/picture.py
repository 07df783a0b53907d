"""Pictures as tensors: from a file of any common kind, from Pillow, or from bytes."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from segue.data.decoding import bytes_complaint, decode, rgb, upright_size
from segue.ops.resize import fitted


def read_image(path: Path) -> UInt8[Tensor, "3 h w"]:
    """A picture as RGB, 0 to 255, upright, channels last in memory.

    Grey becomes three equal channels, transparency is dropped, of 16 bits the upper 8 are kept.

    Raises:
        ValueError: If its values are fractions; or, from Pillow, if it is damaged.
    """
    return _tensor(decode(path, rgb), path)


def read_reduced(path: Path, box: tuple[int, int]) -> tuple[UInt8[Tensor, "3 h w"], tuple[int, int]]:
    """As :func:`read_image`, and the full rows and columns; a JPEG is decoded at 1/2, 1/4 or 1/8 of its sides.

    This is the smallest one that is no smaller than what fits a box, see :func:`segue.ops.resize.fitted`. Decoding
    then averages pixels, so that resizing further gives slightly other values than resizing the whole.
    """

    def take(picture: Image.Image) -> tuple[np.ndarray, tuple[int, int]]:
        size = upright_size(picture)
        rows, columns = fitted(size, box)
        turned = (picture.height, picture.width) != size
        picture.draft(None, (rows, columns) if turned else (columns, rows))
        return rgb(picture), size

    pixels, size = decode(path, take)
    return _tensor(pixels, path), size


def as_image(picture: Path | str | Image.Image | np.ndarray) -> UInt8[Tensor, "3 h w"]:
    """A picture in any form as :func:`read_image` gives it: a file, Pillow's, or bytes (H,W,3) or (H,W).

    Raises:
        ValueError: If an array is of another shape or of other values than bytes.
    """
    if isinstance(picture, Path | str):
        return read_image(Path(picture))
    if isinstance(picture, Image.Image):
        return _tensor(rgb(picture.copy()), "the picture")
    pixels = np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(
            f"a picture of shape {picture.shape}: give (height, width, 3) in RGB, or (height, width)"
        )
    return _tensor(np.array(pixels), "the picture")


def _tensor(pixels: np.ndarray, origin: Path | str) -> UInt8[Tensor, "3 h w"]:
    if pixels.dtype != np.uint8:
        raise ValueError(bytes_complaint(origin, pixels.dtype))
    return torch.from_numpy(pixels).permute(2, 0, 1)
