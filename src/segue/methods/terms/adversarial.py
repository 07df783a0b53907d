"""Predictions on the target are to look like those on the source, to a network that learns to tell them apart."""

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from segue.methods.adversary import SOURCE, TARGET, JudgeSettings, domain_loss, still
from segue.methods.context import Context
from segue.methods.levels import LevelSettings
from segue.methods.method import Optimisation, Term
from segue.ops.information import self_information
from segue.settings import Count
from segue.types import Output, View

SMALLEST = 32
"""Cells along a side of the smallest map that a discriminator can judge: it halves a map five times."""


class DiscriminatorSettings(JudgeSettings):
    """A discriminator of maps, and the Adam that it learns by."""

    channels: Count = 64  # of its first layer; the next three have twice, four and eight times as many


class AdversarialSettings(LevelSettings):
    """AdaptSegNet and AdvEnt: an adversary for each of the network's predictions."""

    map: Literal["probabilities", "self_information"] = "probabilities"  # what the discriminator sees
    loss: Literal["vanilla", "least_squares"] = "vanilla"  # cross-entropy or squared error
    discriminator: DiscriminatorSettings = DiscriminatorSettings()

    def build(self, context: Context) -> "Adversarial":
        """The term.

        Raises:
            ValueError: If the discriminator cannot judge maps as small as the run's crops make them.
        """
        stride = 1 if self.resolution == "picture" else getattr(context.student.head, "stride", 1)
        if min(context.crop) < SMALLEST * stride:
            raise ValueError(
                f"data.crop: a discriminator needs maps of {SMALLEST} x {SMALLEST}, crops of {min(context.crop)} pixels"
                f" have {min(context.crop) // stride}: choose terms.adversarial.resolution=picture or larger crops"
            )
        return Adversarial(
            self,
            num_classes=len(context.classes),
            auxiliary=context.network.auxiliary is not None,
            steps=context.steps,
        )


class Adversarial(Term):
    """The student makes its target maps look like source maps to a discriminator, which learns not to be fooled.

    The student's side calls the discriminator with detached weights, the discriminator's side sees detached maps: each
    loss moves one of them, and all are minimised at once.

    Source: AdaptSegNet (Tsai et al., CVPR 2018); ADVENT (Vu et al., CVPR 2019), with self-information in the place of
    probabilities. As in both codes, the discriminator's loss is the mean of its two halves, and the source is 0.

    Args:
        auxiliary: Whether the network makes an auxiliary prediction, which has a discriminator of its own.
        steps: The length of the run.
    """

    view_names = ("source", "target")

    def __init__(
        self, settings: AdversarialSettings, *, num_classes: int, auxiliary: bool, steps: int = 1
    ) -> None:
        super().__init__()
        self.settings = settings
        self.auxiliary = auxiliary
        self.steps = steps
        channels = settings.discriminator.channels
        self.discriminators = nn.ModuleList(
            discriminator(num_classes, channels) for _ in range(1 + auxiliary)
        )

    def forward(self, network: nn.Module, view: View, output: Output) -> dict[str, Tensor]:
        """The discriminators' losses, and on the target the student's."""
        domain = SOURCE if view.name == "source" else TARGET
        found: dict[str, Tensor] = {}
        levels = self.settings.levels(output, view, auxiliary=self.auxiliary, done=self.step / self.steps)
        for judge, (level, share, probability) in zip(self.discriminators, levels, strict=True):
            shown = self_information(probability) if self._is_information else probability
            found[f"discriminator{level}"] = 0.5 * self._cost(judge(shown.detach()), domain)
            if view.name == "target":
                found[f"adversarial{level}"] = share * self._cost(still(judge, shown), SOURCE)
        return found

    def optimisations(self) -> dict[str, Optimisation]:
        """One for all discriminators."""
        return self.settings.discriminator.optimisation(self.discriminators)

    @property
    def _is_information(self) -> bool:
        return self.settings.map == "self_information"

    def _cost(self, said: Float[Tensor, "b 1 h w"], wanted: float) -> Float[Tensor, ""]:
        if self.settings.loss == "vanilla":
            return domain_loss(said, wanted)
        return F.mse_loss(said.float(), torch.full_like(said, wanted, dtype=torch.float32))


def discriminator(num_classes: int, channels: int) -> nn.Sequential:
    """Five convolutions, each of which halves its map, from a map (B,K,H,W) to logits (B,1,H/32,W/32).

    Layers are numbered as in ADVENT's code.

    Source: AdaptSegNet (Tsai et al., CVPR 2018).
    """
    layers: list[nn.Module] = []
    for width, wider in pairwise((num_classes, channels, 2 * channels, 4 * channels, 8 * channels)):
        layers += [nn.Conv2d(width, wider, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(8 * channels, 1, 4, stride=2, padding=1))
