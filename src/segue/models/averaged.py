"""Several networks that predict as one: the mean of their probabilities."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segue.models.adjusted import ADJUSTED, Adjusted
from segue.models.build import build_segmenter
from segue.models.segmenter import Segmenter
from segue.models.translated import TRANSLATED, Translated, build_translated
from segue.ops.resize import resize
from segue.types import Output

MEMBERS = "members"
"""The key of a model card's network under which the arguments of several networks stand; their shares of the mean, if
they differ, stand under "shares"."""


class Averaged(nn.Module):
    """Networks of the same classes, whose logits are the logarithm of their mean probability at the image's size.

    So whatever predicts with one network predicts with several, and a softmax gives the mean back.

    Args:
        shares: Of each network in the mean, relative to one another; None for equal ones.
    """

    def __init__(self, networks: Sequence[nn.Module], shares: Sequence[float] | None = None) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.shares = [1.0] * len(networks) if shares is None else list(shares)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Output:
        """The mean; there are neither features nor an embedding that all networks share."""
        size = (image.shape[-2], image.shape[-1])
        total = torch.zeros(())
        for network, share in zip(self.networks, self.shares, strict=True):
            logits: Tensor = network(image).logits
            probability = resize(logits.float(), size).softmax(1)
            total = total.to(logits.device) + (probability if share == 1 else share * probability)
        mean = (total / sum(self.shares)).clamp(min=torch.finfo(torch.float32).tiny)
        return Output(mean.log(), [], mean, [])

    def without_each_layer(self, image: Tensor) -> Iterator[tuple[str | None, Tensor]]:
        """Nothing: the layers of several networks have no common names.

        Raises:
            ValueError: Always.
        """
        raise ValueError("an average of several networks has no layers of its own: name one of its members")


def build_network(arguments: Mapping[str, Any]) -> Segmenter | Averaged | Adjusted | Translated:
    """The network of a model card, or several; raises what :func:`segue.models.build.build_segmenter` raises."""
    if inner := arguments.get(ADJUSTED):
        return Adjusted(build_network(inner), torch.zeros(arguments["num_classes"]))
    if inner := arguments.get(TRANSLATED):
        return build_translated(arguments, build_network(inner))
    members: Sequence[Mapping[str, Any]] | None = arguments.get(MEMBERS)
    if members is None:
        return build_segmenter(**arguments)
    return Averaged([build_network(member) for member in members], arguments.get("shares"))


def single_networks(arguments: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The arguments of every plain network that a model card's network consists of."""
    inner = arguments.get(ADJUSTED) or arguments.get(TRANSLATED)
    if inner:
        return single_networks(inner)
    return [one for member in arguments.get(MEMBERS, []) for one in single_networks(member)] or [arguments]
