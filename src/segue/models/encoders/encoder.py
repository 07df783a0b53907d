"""What every encoder promises."""

from collections.abc import Mapping

from torch import Tensor, nn


class Encoder(nn.Module):
    """A network that turns an image into four maps, fine to coarse.

    Attributes:
        out_channels: Channels of the four maps.
        strides: Pixels a cell of each map spans: a map has the image's sides divided by it, rounded up. Empty if
            the maps do not tile the image.
        classifier_names: How the names begin that files of pretrained weights hold for a classifier only.
    """

    out_channels: tuple[int, ...] = ()
    strides: tuple[int, ...] = (4, 8, 16, 32)
    classifier_names: tuple[str, ...] = ()

    @property
    def pretrained(self) -> nn.Module:
        """The part that files of pretrained weights fill: all of it, unless layers were added to it."""
        return self

    def translated(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a file of pretrained ones under the names of ``pretrained``, without a classifier's.

        Args:
            state: The file's tensors by its own names.

        Returns:
            What is to fit exactly.
        """
        return {name: value for name, value in state.items() if not name.startswith(self.classifier_names)}
