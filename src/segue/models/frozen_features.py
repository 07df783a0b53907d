"""Features that training may lean on without changing them: SAM's, or those of any encoder of a network."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segue.classes import nearest
from segue.models.build import build_encoder, normalisation
from segue.models.encoders import ENCODERS
from segue.models.encoders.encoder import Colour, Encoder
from segue.models.encoders.sam import COLOURS as SAM_COLOURS
from segue.models.encoders.sam import SIZES as SAM_SIZES
from segue.models.encoders.sam import build_sam
from segue.models.weights import load_encoder
from segue.ops.resize import resize

SAM = {f"sam_{size}": size for size in SAM_SIZES}
"""Its names here, and those of :mod:`segue.models.encoders.sam`."""

Colours = tuple[Colour, Colour]
"""Mean and standard deviation in grey levels."""


class FrozenFeatures(nn.Module):
    """A map of one network's features for pictures that are normalised for another.

    Args:
        network: From pictures as its weights expect them to a map.
        channels: Of that map.
        own: What the network's weights expect colours to be normalised by.
        given: What they were normalised by.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, *, channels: int, own: Colours, given: Colours) -> None:
        super().__init__()
        self.network = network
        self.channels = channels
        mean, std = torch.tensor(own)
        given_mean, given_std = torch.tensor(given)
        # Nothing to do where they are the same.
        self.register_buffer("scale", (given_std / std).view(3, 1, 1), persistent=False)
        self.register_buffer("shift", ((given_mean - mean) / std).view(3, 1, 1), persistent=False)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d h2 w2"]:
        """The network's map, on its own grid."""
        return self.network(image * self.scale + self.shift)


class LastMap(nn.Module):
    """An encoder's deepest pretrained map.

    Args:
        encoder: Of a network.
        longer_side: Pixels of what it sees, in the picture's proportions; None for the picture as it is.
    """

    def __init__(self, encoder: Encoder, longer_side: int | None) -> None:
        super().__init__()
        self.encoder = encoder
        self.longer_side = longer_side

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d h2 w2"]:
        """That map, of a picture normalised as the encoder's weights expect."""
        height, width = image.shape[-2:]
        share = 1.0 if self.longer_side is None else self.longer_side / max(height, width)
        return self.encoder.last_map(resize(image, (round(share * height), round(share * width))))


def build_frozen(
    name: str, weights: Path | None = None, *, image_size: int | None = None, colours: Colours
) -> FrozenFeatures:
    """Features of a pretrained network from a local file, or of one with random weights.

    Args:
        name: A key of ``SAM`` or ``ENCODERS``.
        weights: For SAM a Hugging Face folder, its file or the official ``.pth``; for an encoder what
            ``network.weights`` takes; None for random ones.
        image_size: Pixels of the longer side that it sees: of SAM's square, which is 1024 if this is None, or of a
            picture in its proportions, which else is seen as it is.
        colours: What pictures are normalised by.

    Returns:
        The features, in training mode like any new module.

    Raises:
        ValueError: If there is no such network, its library is missing, or the file does not fit.
        FileNotFoundError: If there is no such file.
    """
    if name in SAM:
        sam = build_sam(SAM[name], weights, image_size=image_size)
        return FrozenFeatures(sam, channels=sam.channels, own=SAM_COLOURS, given=colours)
    if name not in ENCODERS:
        raise ValueError(f"unknown frozen encoder {name!r}{nearest(name, [*SAM, *ENCODERS])}")
    encoder = build_encoder(name, drop_path=0.0)
    if weights is not None:
        load_encoder(encoder, weights)
    return FrozenFeatures(
        LastMap(encoder, image_size),
        channels=encoder.out_channels[-1],
        own=normalisation(name),
        given=colours,
    )
