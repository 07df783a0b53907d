"""Pictures in the look of another domain, and networks that see them so."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from segue.classes import nearest
from segue.models.segmenter import Segmenter
from segue.ops.spectrum import with_low_amplitude
from segue.types import Output

TRANSLATED = "translated"
"""The key of a model card's network under which the arguments of the network that sees translated pictures stand."""


class ResidualGenerator(nn.Module):
    """From pictures in -1 to 1 to pictures in -1 to 1: down twice, residual blocks, up twice.

    Sides that four does not divide are padded and cut back.

    Source: CycleGAN (Zhu et al., ICCV 2017), after Johnson et al. (ECCV 2016); no dropout.

    Args:
        channels: Of the first layer; the blocks have four times as many.
    """

    def __init__(self, channels: int = 64, blocks: int = 9) -> None:
        super().__init__()
        wide, middle = 4 * channels, 2 * channels
        self.layers = nn.Sequential(
            *_convolved(nn.Conv2d(3, channels, 7, padding=3, padding_mode="reflect")),
            *_convolved(nn.Conv2d(channels, middle, 3, stride=2, padding=1)),
            *_convolved(nn.Conv2d(middle, wide, 3, stride=2, padding=1)),
            *(_Block(wide) for _ in range(blocks)),
            *_convolved(nn.ConvTranspose2d(wide, middle, 3, stride=2, padding=1, output_padding=1)),
            *_convolved(nn.ConvTranspose2d(middle, channels, 3, stride=2, padding=1, output_padding=1)),
            nn.Conv2d(channels, 3, 7, padding=3, padding_mode="reflect"),
        )
        start_narrow(self)

    def forward(self, picture: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """The picture in the other look."""
        height, width = picture.shape[-2:]
        whole = F.pad(picture, (0, -width % 4, 0, -height % 4), mode="replicate")
        return self.layers(whole)[..., :height, :width].tanh()


class AmplitudeGenerator(nn.Module):
    """The amplitude of a picture's lowest frequencies replaced by a domain's own mean; nothing is learnt.

    Source: the exchange of FDA (Yang and Soatto, CVPR 2020) with a mean in the place of one target picture (ours), so
    that a picture is always translated alike.

    Args:
        reach: Frequencies up to so many waves a side are replaced.
    """

    amplitude: Tensor

    def __init__(self, reach: int = 1) -> None:
        super().__init__()
        self.register_buffer("amplitude", torch.zeros(3, 2 * reach + 1, reach + 1))

    def forward(self, picture: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """The picture in the other look; it may leave -1 to 1."""
        with torch.autocast(picture.device.type, enabled=False):
            # Raw, as otherwise the sign of the mean would be taken for phase.
            return 2 * with_low_amplitude((picture.float() + 1) / 2, self.amplitude) - 1


GENERATORS: dict[str, type[nn.Module]] = {
    "residual": ResidualGenerator,
    "amplitude": AmplitudeGenerator,
    "identity": nn.Identity,
}


class Look(nn.Module):
    """A generator, and how its pictures in -1 to 1 follow from normalised ones.

    Args:
        mean: Of normalisation, in grey levels.
        std: Of normalisation, in grey levels.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        generator: nn.Module,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> None:
        super().__init__()
        self.generator = generator
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Normalised pictures in the other look, normalised."""
        if isinstance(self.generator, nn.Identity):
            return image  # to the bit
        return self.normalised(self.generator(self.scaled(image)))

    def scaled(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Normalised pictures in -1 to 1."""
        return (image.float() * self.std + self.mean) / 127.5 - 1

    def normalised(self, picture: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Pictures in -1 to 1 normalised."""
        return ((picture.float() + 1) * 127.5 - self.mean) / self.std


class Translated(nn.Module):
    """A network that sees pictures in another look.

    As a part of the model, translation goes with it wherever it predicts, at the size at which it predicts.

    Args:
        look: How pictures are translated before the network sees them.
        back: The opposite translation, which was made together with it; prediction does not use it.
    """

    def __init__(self, network: nn.Module, look: Look, back: Look | None = None) -> None:
        super().__init__()
        self.network = network
        self.look = look
        self.back = back

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Output:
        """The network's output on the translated picture; nothing is supervised."""
        output: Output = self.network(self.look(image))
        return Output(output.logits, output.features, output.embedding, [])

    def without_each_layer(self, image: Tensor) -> Iterator[tuple[str | None, Tensor]]:
        """As for the network itself."""
        yield from cast(Segmenter, self.network).without_each_layer(self.look(image))


def build_look(arguments: Mapping[str, Any]) -> Look:
    """A look whose generator is one of ``GENERATORS``, with these arguments beside its ``name``."""
    options = dict(arguments)
    name = options.pop("name")
    if name not in GENERATORS:
        raise ValueError(f"unknown generator {name!r}{nearest(name, list(GENERATORS))}")
    return Look(GENERATORS[name](**options))


def translated(
    arguments: Mapping[str, Any], *, look: Mapping[str, Any], back: Mapping[str, Any] | None, classes: int
) -> dict[str, Any]:
    """The arguments of a card for a network with these, seen through looks of these."""
    both = {"look": dict(look), "back": None if back is None else dict(back)}
    return {TRANSLATED: dict(arguments), **both, "num_classes": classes}


def build_translated(arguments: Mapping[str, Any], network: nn.Module) -> Translated:
    """What :func:`translated` describes, around its inner network."""
    back = arguments["back"]
    return Translated(network, build_look(arguments["look"]), None if back is None else build_look(back))


def start_narrow(network: nn.Module) -> None:
    """Draw the weights of convolutions with a standard deviation of 0.02, as CycleGAN does; biases are zero."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and not module.weight.is_meta:
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _convolved(layer: nn.Conv2d | nn.ConvTranspose2d) -> tuple[nn.Module, ...]:
    return layer, nn.InstanceNorm2d(layer.out_channels), nn.ReLU()


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        one, other = (nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect") for _ in range(2))
        self.layers = nn.Sequential(*_convolved(one), other, nn.InstanceNorm2d(channels))

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return maps + self.layers(maps)
