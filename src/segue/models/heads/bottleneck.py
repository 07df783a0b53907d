"""The head of image classification: a narrow layer, then the classes of the whole picture."""

from collections.abc import Sequence
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from segue.models.heads.head import Head
from segue.models.settings import NetworkSettings


class BottleneckHead(Head):
    """Linear, batch normalisation, ReLU, then the classifier; ``network.channels`` is the width between them.

    Logits and embedding are maps of a single cell.

    Source: the classifier of CDAN (Long et al., NeurIPS 2018) as the code of SDAT (Rangwani et al., ICML 2022) has it;
    their width is 256. There is no dropout.
    """

    names_pictures: ClassVar[bool] = True

    def __init__(self, in_channels: Sequence[int], num_classes: int, settings: NetworkSettings) -> None:
        super().__init__(in_channels, num_classes, settings)
        self.bottleneck = nn.Sequential(
            nn.Linear(in_channels[-1], settings.channels), nn.BatchNorm1d(settings.channels), nn.ReLU()
        )
        self.classifier = nn.Linear(settings.channels, num_classes)

    def forward(self, features: list[Tensor]) -> tuple[Float[Tensor, "b k 1 1"], Float[Tensor, "b d 1 1"]]:
        """Logits and what the bottleneck makes of the encoder's single cell."""
        embedding = self.bottleneck(features[-1].flatten(1))
        return self.classifier(embedding)[..., None, None], embedding[..., None, None]
