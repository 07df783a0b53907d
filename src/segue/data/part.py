"""A part of a data set, for what must not be measured on the pictures that were trained on."""

from jaxtyping import UInt8
from torch import Tensor

from segue.data.dataset import Dataset, digest


class Part(Dataset):
    """Every n-th picture of a data set, under its name there.

    Args:
        place: The first picture, from 0 to ``parts`` - 1.
        parts: The n: pictures are dealt to so many parts in turn.
    """

    def __init__(self, whole: Dataset, place: int, parts: int) -> None:
        self.classes = whole.classes
        self.whole = whole
        self.places = range(place, len(whole), parts)

    def __len__(self) -> int:
        """The number of pictures of this part; 0 if the whole has too few."""
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
        """That of the whole, and which part this is."""
        return digest((self.whole.fingerprint(), str(self.places)))

    def check(self) -> None:
        """As the whole does, and that this part has a picture."""
        self.whole.check()
        super().check()
