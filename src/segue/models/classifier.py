"""A network that names whole pictures: the encoder's summary of a picture, and a head on it."""

from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor, nn

from segue.models.encoders.encoder import Encoder
from segue.models.segmenter import Segmenter
from segue.types import HybridRules, Output


class Classifier(Segmenter):
    """An encoder's summary of a picture and a head as one network, whose maps all have a single cell.

    To everything else it is a segmenter whose grid is that coarse: a picture's class is a label of one cell.
    """

    names_pictures = True

    def __init__(self, encoder: Encoder, head: nn.Module) -> None:
        super().__init__(encoder, head)
        encoder.keep_summary()

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Output:
        """Predict the picture's class."""
        return self.decoded([self.encoder.summary(image)], image)

    def together(self, images: list[Tensor], groups: Tensor | None, rules: HybridRules) -> Iterator[Output]:
        """Refuse.

        Raises:
            ValueError: Always: no two pictures look at each other here.
        """
        raise ValueError("a network that names whole pictures has no hybrid attention: set method.pair=null")

    def feature_network(self) -> nn.Module:
        """From an image to its summary, as the only map."""
        return _Summary(self.encoder)


class _Summary(nn.Module):
    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Tensor) -> list[Tensor]:
        return [self.encoder.summary(image)]
