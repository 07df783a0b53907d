"""What every encoder promises."""

from torch import nn


class Encoder(nn.Module):
    """A network that turns an image into maps at strides 4, 8, 16 and 32.

    Attributes:
        out_channels: Channels of the four maps.
        classifier_names: How the names begin that files of pretrained weights hold for classification only.
    """

    out_channels: tuple[int, ...] = ()
    classifier_names: tuple[str, ...] = ()
