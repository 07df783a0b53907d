"""What a data set is to the rest of Segue: pictures, and labels that are read only when asked for."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable

from jaxtyping import Float, UInt8
from torch import Tensor

from segue.classes import ClassList


class Dataset(ABC):
    """Pictures by index, with training ids where they are labelled.

    Image and label are read by separate methods, so that training on a target domain never opens a label.
    Reading must not change the object: worker processes hold copies of it.

    Attributes:
        classes: The training classes; a label's value is a position in this list, or IGNORE.
        has_depth: Whether it knows how far things are.
    """

    classes: ClassList
    has_depth: bool = False

    @abstractmethod
    def __len__(self) -> int:
        """The number of pictures, at least one."""

    @abstractmethod
    def name(self, index: int) -> str:
        """The picture's name relative to its data set, without extension; unique in the data set."""

    @abstractmethod
    def image(self, index: int) -> UInt8[Tensor, "3 h w"]:
        """The picture as RGB, 0 to 255."""

    def reduced(self, index: int, box: tuple[int, int]) -> tuple[UInt8[Tensor, "3 h w"], tuple[int, int]]:
        """The picture, perhaps decoded at a half, a quarter or an eighth of its sides, and its full rows and columns.

        It is no smaller than what fits the box. Only some files can be decoded so; others come as they are.
        """
        image = self.image(index)
        return image, (image.shape[-2], image.shape[-1])

    @abstractmethod
    def label(self, index: int) -> UInt8[Tensor, "h w"]:
        """The picture's training ids, as large as the image, IGNORE where unlabelled.

        Raises:
            ValueError: If this data set has no labels, or a value in this one is outside the class list.
        """

    def depth(self, index: int) -> Float[Tensor, "dh dw"]:
        """How near things are in the picture, as :class:`segue.types.Source` has it; ``ValueError`` if unknown."""
        raise ValueError(f"{self.name(index)}: how far things are in this picture is not known")

    @abstractmethod
    def fingerprint(self) -> str:
        """A text that changes whenever pictures, labels or their meaning change; caches are kept by it."""

    def check(self) -> None:
        """Find errors that show without decoding every picture; called before anything is written.

        Raises:
            ValueError: If there is no picture; data sets that read files look for more.
        """
        if len(self) == 0:
            raise ValueError("a data set without a picture")


def digest(parts: Iterable[str]) -> str:
    """A short fingerprint of texts: equal only if all of them are, in this order."""
    running = hashlib.sha256()
    for part in parts:
        running.update(f"{len(part)}:{part}".encode())
    return running.hexdigest()[:32]
