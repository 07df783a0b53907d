"""Pictures by index, with or without labels, and an even choice of them."""

from typing import Protocol

from jaxtyping import UInt8
from torch import Tensor


class Pictures(Protocol):
    """Pictures by index; every data set is this."""

    def __len__(self) -> int: ...

    def image(self, index: int) -> UInt8[Tensor, "3 h w"]:
        """RGB, 0 to 255."""
        ...


class LabelledPictures(Pictures, Protocol):
    """Labelled pictures by index; every data set with labels is this."""

    def name(self, index: int) -> str:
        """What messages and reports call the picture."""
        ...

    def label(self, index: int) -> UInt8[Tensor, "h w"]:
        """Training ids, IGNORE where unlabelled."""
        ...


def evenly(total: int, most: int) -> list[int]:
    """At most ``most`` of the numbers below ``total``, evenly spaced."""
    wanted = min(total, most)
    return [place * total // wanted for place in range(wanted)]
