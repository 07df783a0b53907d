"""Random resizing, cropping and mirroring of a picture together with its label and its valid area."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from jaxtyping import Bool, UInt8
from torch import Generator, Tensor

from segue.data.depth_file import UNKNOWN
from segue.data.placement import Axis, Placement
from segue.ops.resize import fitted
from segue.settings import Margins
from segue.types import IGNORE, Sample

TRIES = 10
"""How many crops may be refused before the next one is taken as it is: the official number."""

Piece = TypeVar("Piece")


class RandomCrop:
    """Resize, crop, mirror and pad at random, keeping image, label and valid area on one grid.

    Pictures are resized to a fixed box and then by a random factor. A labelled crop is drawn again while one
    class fills too much of it (``max_share``) and, where rare-class sampling asked for a class, the whole
    pipeline runs again while the crop holds too little of it; after ten refusals the next draw is taken.

    Source: DAFormer (Hoyer et al., CVPR 2022), section 3.3, and its official training pipeline; the valid
        area as in HRDA (Hoyer et al., ECCV 2022), which marks it on the whole picture before cropping; mining
        as in the code of CBST (Zou et al., ECCV 2018) and CRST.

    Args:
        size: The crop's rows and columns, in pixels.
        fill: The colour of padding, 0 to 255: the mean that normalisation subtracts.
        resize: A box (rows, columns) that pictures are resized to before cropping; None leaves them.
        scale: The range of a random factor on the resized sides, drawn uniformly.
        flip: The probability of mirroring left to right.
        max_share: Refuse crops in which one class fills this share of the labelled pixels or more, and those
            with a single class; 1 refuses none.
        min_share: The share of the picture that rare-class sampling demands of its class, in [0, 1).
        min_crop_ratio: The crop must hold more than this multiple of that number of pixels (0.5 in DAFormer, 2 in
            HRDA, whose pictures are enlarged).
        margins: Borders without content, marked invalid.
        mined: Classes around which a labelled crop is cut: its centre, as far as the picture's border allows, is a
            random pixel of one of those that the picture has.
        mine_chance: The probability of such a crop; others are cut anywhere.

    Raises:
        ValueError: If a number is outside its range.
    """

    def __init__(
        self,
        size: tuple[int, int],
        *,
        fill: tuple[float, float, float],
        resize: tuple[int, int] | None = None,
        scale: tuple[float, float] = (1.0, 1.0),
        flip: float = 0.5,
        max_share: float = 1.0,
        min_share: float = 0.0,
        min_crop_ratio: float = 0.5,
        margins: Margins | None = None,
        mined: Sequence[int] = (),
        mine_chance: float = 0.0,
    ) -> None:
        if min(size) < 1 or (resize is not None and min(resize) < 1):
            raise ValueError(f"crop {size}, resize {resize}: rows and columns are at least 1")
        if not 0 < scale[0] <= scale[1]:
            raise ValueError(f"scale {scale}: the smaller factor comes first and is above 0")
        if not (0 <= flip <= 1 and 0 < max_share <= 1 and 0 <= min_share < 1 and min_crop_ratio >= 0):
            raise ValueError(
                f"flip {flip}, max_share {max_share}, min_share {min_share}, min_crop_ratio {min_crop_ratio}:"
                " shares and probabilities lie between 0 and 1, the ratio is not negative"
            )
        red, green, blue = (min(255, max(0, int(value + 0.5))) for value in fill)
        self.size = size
        self.fill = (red, green, blue)
        self.resize = resize
        self.scale = scale
        self.flip = flip
        self.max_share = max_share
        self.min_share = min_share
        self.min_crop_ratio = min_crop_ratio
        self.margins = margins or Margins()
        self.mined = tuple(mined)
        self.mine_chance = mine_chance

    def __call__(self, sample: Sample, generator: Generator, *, wanted: int | None = None) -> Sample:
        """A random crop of a picture, with the label ignored in the padding, and ``valid`` always given.

        Depth is cut along with it, and enlarging the picture does not bring things nearer (as in CorDA's code).
        Without a label no crop is refused.

        Args:
            wanted: The class that rare-class sampling drew this picture for.

        Raises:
            ValueError: If image and label differ in size.
        """
        height, width = _size(sample)
        label = sample.label
        if label is None:
            place = self._place(height, width, generator)
        elif label.shape == (height, width):
            place, label = self._place_labelled(label, generator, wanted)
        else:
            rows, columns = label.shape
            raise ValueError(
                f"{sample.name}: the image is {width}x{height} but its label {columns}x{rows}"
                " (width x height): make them the same size"
            )
        image = place.on(sample.image).cut_image(sample.image, self.fill)
        valid = place.cut(self._valid(sample), outside=False)
        soft = None if sample.soft is None else place.cut(sample.soft, outside=0)
        depth = None if sample.depth is None else place.on(sample.depth).cut(sample.depth, outside=UNKNOWN)
        return Sample(image, label, valid, sample.name, soft, depth=depth)

    def _place_labelled(
        self, label: UInt8[Tensor, "h w"], generator: Generator, wanted: int | None
    ) -> tuple[Placement, UInt8[Tensor, "a b"]]:
        height, width = label.shape
        centre = self._mined_pixel(label, generator)
        if centre is not None:
            place = self._place(height, width, generator, centre)
            return place, place.cut(label, outside=IGNORE)
        needed = self.min_share * height * width * self.min_crop_ratio

        def draw() -> tuple[Placement, Tensor]:
            place = self._place(height, width, generator)
            return place, place.cut(label, outside=IGNORE)

        def draw_balanced() -> tuple[Placement, Tensor]:
            if self.max_share == 1:
                return draw()
            return _first(draw, lambda piece: _is_balanced(piece[1], self.max_share))

        if wanted is None:
            return draw_balanced()
        return _first(draw_balanced, lambda piece: int((piece[1] == wanted).sum()) > needed)

    def _mined_pixel(self, label: UInt8[Tensor, "h w"], generator: Generator) -> tuple[int, int] | None:
        """Row and column of a random pixel of a mined class that the label has; None to cut anywhere."""
        if not self.mined or _uniform(generator) >= self.mine_chance:
            return None
        counts = torch.bincount(label.flatten(), minlength=256)
        present = [name for name in self.mined if counts[name] > 0]
        if not present:
            return None
        pixels = (label == present[_below(len(present), generator)]).nonzero()
        row, column = pixels[_below(len(pixels), generator)].tolist()
        return row, column

    def _place(
        self, height: int, width: int, generator: Generator, centre: tuple[int, int] | None = None
    ) -> Placement:
        rows, columns = height, width
        if self.resize is not None:
            rows, columns = fitted((height, width), self.resize)
        if self.scale != (1.0, 1.0):
            factor = self.scale[0] + (self.scale[1] - self.scale[0]) * _uniform(generator)
            rows, columns = _rounded(rows * factor), _rounded(columns * factor)
        if centre is None:
            top = _offset(rows - self.size[0], generator)
            left = _offset(columns - self.size[1], generator)
        else:
            top = _centred(centre[0] * rows // height, self.size[0], rows)
            left = _centred(centre[1] * columns // width, self.size[1], columns)
        down = Axis(height, rows, top, self.size[0])
        across = Axis(width, columns, left, self.size[1])
        return Placement(down, across, mirrored=_uniform(generator) < self.flip)

    def _valid(self, sample: Sample) -> Bool[Tensor, "h w"]:
        """The whole picture's valid area, without margins."""
        height, width = _size(sample)
        inside = torch.zeros(height, width, dtype=torch.bool)
        top, bottom = int(self.margins.top * height + 0.5), int(self.margins.bottom * height + 0.5)
        left, right = int(self.margins.left * width + 0.5), int(self.margins.right * width + 0.5)
        inside[top : height - bottom, left : width - right] = True
        return inside if sample.valid is None else inside & sample.valid


def _size(sample: Sample) -> tuple[int, int]:
    return sample.size or (sample.image.shape[-2], sample.image.shape[-1])


def _first(draw: Callable[[], Piece], accept: Callable[[Piece], bool]) -> Piece:
    """The first accepted draw; after ten refusals the next one, whatever it is."""
    for _ in range(TRIES):
        piece = draw()
        if accept(piece):
            return piece
    return draw()


def _is_balanced(label: UInt8[Tensor, "a b"], max_share: float) -> bool:
    counts = torch.bincount(label.flatten(), minlength=256)[:IGNORE]
    return int((counts > 0).sum()) > 1 and int(counts.max()) < max_share * int(counts.sum())


def _uniform(generator: Generator) -> float:
    return float(torch.rand((), generator=generator, dtype=torch.float64))


def _offset(room: int, generator: Generator) -> int:
    return _below(room + 1, generator) if room > 0 else 0


def _below(count: int, generator: Generator) -> int:
    return int(torch.randint(0, count, (), generator=generator))


def _centred(pixel: int, size: int, side: int) -> int:
    """The start of a crop centred on a pixel, moved inwards where it would leave the picture."""
    return max(0, min(pixel - size // 2, side - size))


def _rounded(side: float) -> int:
    return max(1, int(side + 0.5))
