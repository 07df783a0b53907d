"""Several networks that predict as one: the mean of their probabilities."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segue.models.adjusted import ADJUSTED, Adjusted
from segue.models.build import build_segmenter
from segue.models.segmenter import Segmenter
from segue.ops.resize import resize
from segue.types import Output

MEMBERS = "members"
"""The key of a model card's network under which the arguments of several networks stand."""


class Averaged(nn.Module):
    """Networks of the same classes, whose logits are the logarithm of their mean probability at the image's size.

    So whatever predicts with one network predicts with several, and a softmax gives the mean back.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Output:
        """The mean; there are neither features nor an embedding that all networks share."""
        size = (image.shape[-2], image.shape[-1])
        total = torch.zeros(())
        for network in self.networks:
            logits: Tensor = network(image).logits
            total = total.to(logits.device) + resize(logits.float(), size).softmax(1)
        mean = (total / len(self.networks)).clamp(min=torch.finfo(torch.float32).tiny)
        return Output(mean.log(), [], mean, [])

    def without_each_layer(self, image: Tensor) -> Iterator[tuple[str | None, Tensor]]:
        """Nothing: the layers of several networks have no common names.

        Raises:
            ValueError: Always.
        """
        raise ValueError("an average of several networks has no layers of its own: name one of its members")


def build_network(arguments: Mapping[str, Any]) -> Segmenter | Averaged | Adjusted:
    """The network of a model card, or several; raises what :func:`segue.models.build.build_segmenter` raises."""
    if inner := arguments.get(ADJUSTED):
        return Adjusted(build_network(inner), torch.zeros(arguments["num_classes"]))
    members: Sequence[Mapping[str, Any]] | None = arguments.get(MEMBERS)
    if members is None:
        return build_segmenter(**arguments)
    return Averaged([build_segmenter(**member) for member in members])
