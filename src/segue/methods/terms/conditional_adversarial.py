"""Features of both domains are alike, given what classes they are taken for, to a network that tells domains apart."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segue.methods.context import Context
from segue.methods.method import MethodSettings, Optimisation, Term, TermSettings
from segue.ops.class_confusion import certainty_weight
from segue.ops.reversal import multilinear_map, randomised_map, reversed_gradient, warm_start
from segue.settings import Count, NotNegative, Positive, Settings, Share
from segue.types import Output, View

SOURCE, TARGET = 1.0, 0.0
"""What the discriminator is to say of the two domains; other adversarial terms have it the other way round."""


class DomainJudgeSettings(Settings):
    """The discriminator, and the SGD that it learns by."""

    channels: Count = 1024  # of its two hidden layers
    lr: Positive = 0.01
    momentum: Share = 0.9
    nesterov: bool = True
    weight_decay: NotNegative = 1e-3
    fading: Positive = 1e-3  # gamma: the rate decays as (1 + gamma * step)^-power
    power: NotNegative = 0.75


class ConditionalAdversarialSettings(TermSettings):
    """CDAN: conditional adversarial domain adaptation, for pictures that have one class each."""

    names_pictures: ClassVar[bool] = True
    share: NotNegative = 1.0  # of the discriminator's loss, too
    warmup: Positive = 1000.0  # steps after which the reversed gradient has 0.46 of its strength
    entropy: bool = False  # sure predictions count more (CDAN+E)
    randomised: Count | None = (
        None  # width of a random map in the place of the product of classes and features
    )
    discriminator: DomainJudgeSettings = DomainJudgeSettings()

    def check(self, method: MethodSettings) -> None:
        """Both domains have to share a batch."""
        if not method.joins_domains:
            raise ValueError(
                f"terms.conditional_adversarial compares both domains in one batch, and method {method.name} shows them"
                " one after the other: set method.name=aligned and method.together=true"
            )

    def build(self, context: Context) -> "ConditionalAdversarial":
        """The term; ``ValueError`` if the network names pixels."""
        if not context.student.names_pictures:
            raise ValueError(
                "terms.conditional_adversarial compares pictures that have one class each: leave it out"
            )
        return ConditionalAdversarial(
            self, num_classes=len(context.classes), features=context.student.embedding_channels
        )


class ConditionalAdversarial(Term):
    """The student makes both domains' features, times their class probabilities, alike to a discriminator.

    Probabilities get no gradient. Source and target are judged in one batch, as the discriminator normalises by it.

    Source: CDAN (Long et al., NeurIPS 2018), section 3; constants and layers as in the code of SDAT.
    """

    view_names = ("source", "target")
    is_smoothed: ClassVar[bool] = False
    of_classes: Tensor
    of_features: Tensor

    def __init__(self, settings: ConditionalAdversarialSettings, *, num_classes: int, features: int) -> None:
        super().__init__()
        self.settings = settings
        width = settings.randomised
        if width is not None:
            self.register_buffer("of_features", torch.randn(features, width))
            self.register_buffer("of_classes", torch.randn(num_classes, width))
        self.discriminator = discriminator(width or num_classes * features, settings.discriminator.channels)
        self._source: Output | None = None

    def forward(self, network: nn.Module, view: View, output: Output) -> dict[str, Tensor]:
        """The discriminator's loss on both domains, once the target has been seen after the source."""
        if view.name == "source":
            self._source = output
            return {}
        assert self._source is not None, "the method shows the source in the same pass, first"
        source, self._source = self._source, None  # no graph outlives its step
        counts = (len(source.logits), len(output.logits))
        logits = torch.cat([source.logits, output.logits]).flatten(1)
        features = torch.cat([source.embedding, output.embedding]).flatten(1)
        said = self._judged(logits.float().softmax(1).detach(), features.float())
        wanted = torch.cat([said.new_full((counts[0],), SOURCE), said.new_full((counts[1],), TARGET)])
        loss = F.binary_cross_entropy_with_logits(said, wanted, reduction="none")
        if self.settings.entropy:
            loss = loss * certainty_weight(logits.detach().float().softmax(1))
        return {"conditional_adversarial": self.settings.share * loss.mean()}

    def optimisations(self) -> dict[str, Optimisation]:
        """The discriminator's SGD."""
        own = self.settings.discriminator
        return {
            "discriminator": Optimisation(
                list(self.discriminator.parameters()),
                "sgd",
                own.lr,
                options={
                    "momentum": own.momentum,
                    "nesterov": own.nesterov,
                    "weight_decay": own.weight_decay,
                },
                schedule=lambda step, steps: (1 + own.fading * step) ** -own.power,
            )
        }

    def _judged(self, probability: Tensor, features: Tensor) -> Tensor:
        """What the discriminator says of each picture, as a logit; gradients to the features are reversed."""
        features = reversed_gradient(features, warm_start(self.step, self.settings.warmup))
        if self.settings.randomised is None:
            shown = multilinear_map(probability, features)
        else:
            shown = randomised_map(probability, features, matrices=(self.of_classes, self.of_features))
        return self.discriminator(shown).float().flatten()


def discriminator(width: int, channels: int) -> nn.Sequential:
    """Two hidden layers with batch normalisation, then one logit."""
    layers: list[nn.Module] = []
    for inside in (width, channels):
        layers += [nn.Linear(inside, channels), nn.BatchNorm1d(channels), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(channels, 1))
