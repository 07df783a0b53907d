"""Parts of a data set: every n-th picture, those with labels made beforehand; two as one."""

from array import array
from collections.abc import Callable, Sequence

from jaxtyping import Float, UInt8
from torch import Tensor

from segue.data.dataset import Dataset, digest


class Chosen(Dataset):
    """Some pictures of a data set, under their names there.

    Args:
        places: Of the pictures in the whole, in the order wanted.
    """

    def __init__(self, whole: Dataset, places: Sequence[int]) -> None:
        self.classes = whole.classes
        self.has_depth = whole.has_depth
        self.whole = whole
        # As plain numbers, which a worker process does not copy, as it would a list of a million objects.
        self.places = places if isinstance(places, range) else array("q", places)

    def __len__(self) -> int:
        """The number of pictures chosen."""
        return len(self.places)

    def name(self, index: int) -> str:
        """As in the whole."""
        return self.whole.name(self.places[index])

    def image(self, index: int) -> UInt8[Tensor, "3 h w"]:
        """RGB, 0 to 255."""
        return self.whole.image(self.places[index])

    def reduced(self, index: int, box: tuple[int, int]) -> tuple[UInt8[Tensor, "3 h w"], tuple[int, int]]:
        """As the whole does."""
        return self.whole.reduced(self.places[index], box)

    def label(self, index: int) -> UInt8[Tensor, "h w"]:
        """As in the whole."""
        return self.whole.label(self.places[index])

    def depth(self, index: int) -> Float[Tensor, "dh dw"]:
        """As in the whole."""
        return self.whole.depth(self.places[index])

    def fingerprint(self) -> str:
        """That of the whole, and which pictures these are."""
        return digest((self.whole.fingerprint(), _text(self.places)))

    def check(self) -> None:
        """As the whole does, and that a picture is chosen."""
        self.whole.check()
        super().check()


def _text(places: "range | array[int]") -> str:
    return str(places if isinstance(places, range) else places.tolist())


class Part(Chosen):
    """Every n-th picture of a data set, for what must not be measured on the pictures that were trained on.

    Args:
        place: The first picture, from 0 to ``parts`` - 1.
        parts: The n: pictures are dealt to so many parts in turn.
    """

    def __init__(self, whole: Dataset, place: int, parts: int) -> None:
        super().__init__(whole, range(place, len(whole), parts))


class Relabelled(Chosen):
    """Pictures with labels made beforehand in the place of their own, which are not read.

    Args:
        labels: From a picture's name to its label, in training classes.
        origin: Changes when the labels do.
    """

    def __init__(self, whole: Dataset, labels: Callable[[str], Tensor], origin: str) -> None:
        super().__init__(whole, range(len(whole)))
        self.labels = labels
        self.origin = origin

    def label(self, index: int) -> UInt8[Tensor, "h w"]:
        """As it was made beforehand."""
        return self.labels(self.name(index))

    def fingerprint(self) -> str:
        """That of the pictures, and of the labels."""
        return digest((super().fingerprint(), self.origin))


class Joined(Dataset):
    """The pictures of one data set, then those of another in the same classes, whose names begin with ``few/``."""

    def __init__(self, first: Dataset, second: Dataset) -> None:
        self.classes = first.classes
        self.has_depth = first.has_depth and second.has_depth
        self.first = first
        self.second = second

    def __len__(self) -> int:
        """The number of pictures of both."""
        return len(self.first) + len(self.second)

    def name(self, index: int) -> str:
        """As in its own data set; names stay unique."""
        own, place = self._of(index)
        return own.name(place) if own is self.first else f"few/{own.name(place)}"

    def image(self, index: int) -> UInt8[Tensor, "3 h w"]:
        """RGB, 0 to 255."""
        own, place = self._of(index)
        return own.image(place)

    def reduced(self, index: int, box: tuple[int, int]) -> tuple[UInt8[Tensor, "3 h w"], tuple[int, int]]:
        """As its own data set does."""
        own, place = self._of(index)
        return own.reduced(place, box)

    def label(self, index: int) -> UInt8[Tensor, "h w"]:
        """As in its own data set."""
        own, place = self._of(index)
        return own.label(place)

    def depth(self, index: int) -> Float[Tensor, "dh dw"]:
        """As in its own data set."""
        own, place = self._of(index)
        return own.depth(place)

    def fingerprint(self) -> str:
        """That of both."""
        return digest((self.first.fingerprint(), self.second.fingerprint()))

    def check(self) -> None:
        """As both do."""
        self.first.check()
        self.second.check()

    def _of(self, index: int) -> tuple[Dataset, int]:
        count = len(self.first)
        return (self.first, index) if index < count else (self.second, index - count)
