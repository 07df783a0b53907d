"""A network whose logits are moved by a constant for each class: it predicts as if classes were otherwise frequent."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segue.models.segmenter import Segmenter
from segue.types import Output

ADJUSTED = "adjusted"
"""The key of a model card's network under which the arguments of the network that is adjusted stand."""


class Adjusted(nn.Module):
    """A network and what is added to its logits.

    As a part of the model, the correction holds wherever it predicts: at several sizes, in windows, in an ensemble.

    Args:
        shift: A number for each class, see :func:`segue.ops.label_shift.log_ratio`.
    """

    shift: Tensor

    def __init__(self, network: nn.Module, shift: Tensor | Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("shift", torch.as_tensor(shift, dtype=torch.float32))

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Output:
        """The network's own output with other logits; nothing is supervised."""
        output: Output = self.network(image)
        logits = self._shifted(output.logits)
        return Output(logits, output.features, output.embedding, [])

    def without_each_layer(self, image: Tensor) -> Iterator[tuple[str | None, Tensor]]:
        """As for the network itself."""
        for name, logits in cast(Segmenter, self.network).without_each_layer(image):
            yield name, self._shifted(logits)

    def _shifted(self, logits: Tensor) -> Tensor:
        return logits.float() + self.shift[:, None, None]


def adjusted(arguments: Mapping[str, Any], *, classes: int) -> dict[str, Any]:
    """The arguments of a card for the adjusted form of a network with these."""
    return {ADJUSTED: dict(arguments), "num_classes": classes}
