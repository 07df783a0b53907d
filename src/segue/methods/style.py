"""The source in the target's style: with the low frequencies of a target picture."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from segue.methods.context import Context
from segue.ops import augment
from segue.ops.spectrum import Window, exchange_amplitude, exchanges_nothing
from segue.settings import Settings

Beta = Annotated[float, Field(ge=0.0, le=0.5)]


class StyleSettings(Settings):
    """What the source takes from the target before it is learnt and mixed."""

    beta: Beta = 0.01  # half the side of the window of frequencies as a share of a crop's shorter side
    window: Window = "centred"  # which frequencies are exchanged, see ``ops.spectrum``

    def build(self, context: Context) -> "AmplitudeExchange":
        """Build it for pictures that are normalised as the run's are."""
        return AmplitudeExchange(self.beta, self.window, *context.colours)


class AmplitudeExchange:
    """:func:`segue.ops.spectrum.exchange_amplitude` of normalised batches, picture by picture.

    ``mean`` and ``std`` (red, green, blue) are those of normalisation, in grey levels.
    """

    def __init__(
        self,
        beta: float,
        window: Window,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> None:
        self.beta = beta
        self.window: Window = window
        self.mean = torch.tensor(mean).view(3, 1, 1)
        self.std = torch.tensor(std).view(3, 1, 1)

    def __call__(self, source: Tensor, target: Tensor) -> Tensor:
        """The source's pictures (B,3,H,W) with the target's low frequencies."""
        if exchanges_nothing((source.shape[-2], source.shape[-1]), beta=self.beta, window=self.window):
            return source
        if self.mean.device != source.device:
            self.mean, self.std = (
                value.to(source.device, non_blocking=True) for value in (self.mean, self.std)
            )
        with torch.autocast(source.device.type, enabled=False):
            raw = (augment.denormalise(image.float(), self.mean, self.std) for image in (source, target))
            shown = exchange_amplitude(*raw, beta=self.beta, window=self.window)
            return augment.normalise(shown, self.mean, self.std)
