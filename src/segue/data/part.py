"""Parts of a data set, for what must not be measured on the pictures that were trained on."""

from collections.abc import Sequence

from jaxtyping import UInt8
from torch import Tensor

from segue.data.dataset import Dataset, digest


class Chosen(Dataset):
    """Some pictures of a data set, under their names there.

    Args:
        places: Of the pictures in the whole, in the order wanted.
    """

    def __init__(self, whole: Dataset, places: Sequence[int]) -> None:
        self.classes = whole.classes
        self.whole = whole
        self.places = places

    def __len__(self) -> int:
        """The number of pictures chosen."""
        return len(self.places)

    def name(self, index: int) -> str:
        """As in the whole."""
        return self.whole.name(self.places[index])

    def image(self, index: int) -> UInt8[Tensor, "3 h w"]:
        """RGB, 0 to 255."""
        return self.whole.image(self.places[index])

    def label(self, index: int) -> UInt8[Tensor, "h w"]:
        """As in the whole."""
        return self.whole.label(self.places[index])

    def fingerprint(self) -> str:
        """That of the whole, and which pictures these are."""
        return digest((self.whole.fingerprint(), str(self.places)))

    def check(self) -> None:
        """As the whole does, and that a picture is chosen."""
        self.whole.check()
        super().check()


class Part(Chosen):
    """Every n-th picture of a data set.

    Args:
        place: The first picture, from 0 to ``parts`` - 1.
        parts: The n: pictures are dealt to so many parts in turn.
    """

    def __init__(self, whole: Dataset, place: int, parts: int) -> None:
        super().__init__(whole, range(place, len(whole), parts))
