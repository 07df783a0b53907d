"""Features of the target are to look like the source's, class by class, to a network that tells domains and classes."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from segue.methods.adversary import JudgeSettings, still
from segue.methods.context import Context
from segue.methods.method import Optimisation, Term, TermSettings
from segue.ops.resize import resize
from segue.settings import Count, NotNegative, Positive, Share
from segue.types import Output, View


class ClassAdversarialSettings(TermSettings):
    """FADA: a discriminator of features that names a class along with the domain."""

    share: NotNegative = 0.001  # lambda
    temperature: Positive = 1.8  # T of the soft labels; method.temperature is that of the source's own loss
    ceiling: Share = 0.9  # soft labels are cut here
    channels: tuple[Count, Count] = (512, 256)  # of the discriminator's two layers
    discriminator: JudgeSettings = JudgeSettings()

    def build(self, context: Context) -> "ClassAdversarial":
        """Build the term for the map before the student's classifier."""
        return ClassAdversarial(
            self, in_channels=context.student.embedding_channels, num_classes=len(context.classes)
        )


class ClassAdversarial(Term):
    """The student makes a target pixel's features look like those of its class on the source.

    What a class is worth at a pixel, the student's own tempered prediction says, through which no gradient flows.

    Source: FADA (Wang et al., ECCV 2020) and its code, in which soft labels do not add up to one where they are cut.
    """

    view_names = ("source", "target")

    def __init__(self, settings: ClassAdversarialSettings, *, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.settings = settings
        self.judge = PixelDiscriminator(in_channels, settings.channels, num_classes)

    def forward(self, network: nn.Module, view: View, output: Output) -> dict[str, Tensor]:
        """The discriminator's loss, and on the target the student's."""
        features = output.embedding
        label = self.soft_label(output.logits, (view.image.shape[-2], view.image.shape[-1]))
        nothing = torch.zeros_like(label)
        is_source = view.name == "source"
        as_it_is = torch.cat([label, nothing] if is_source else [nothing, label], dim=1)
        found = {"class_discriminator": 0.5 * _cost(self.judge(features.detach()), as_it_is)}
        if not is_source:
            as_source = torch.cat([label, nothing], dim=1)
            found["class_adversarial"] = self.settings.share * _cost(still(self.judge, features), as_source)
        return found

    def optimisations(self) -> dict[str, Optimisation]:
        """The discriminator's."""
        return self.settings.discriminator.optimisation(self.judge)

    def soft_label(self, logits: Tensor, size: tuple[int, int]) -> Float[Tensor, "b k h w"]:
        """The tempered prediction at a picture's size, cut at the ceiling, without gradient."""
        tempered = resize(logits.detach().float(), size) / self.settings.temperature
        return tempered.softmax(1).clamp(max=self.settings.ceiling)


class PixelDiscriminator(nn.Module):
    """From features to logits of every class on the source, then on the target, on the features' grid."""

    def __init__(self, in_channels: int, channels: tuple[int, int], num_classes: int) -> None:
        super().__init__()
        wide, narrow = channels
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, wide, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(wide, narrow, 3, padding=1),
            nn.LeakyReLU(0.2),
        )
        self.source = nn.Conv2d(narrow, num_classes, 3, padding=1)
        self.target = nn.Conv2d(narrow, num_classes, 3, padding=1)

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b two_k h w"]:
        """Classes on the source, classes on the target."""
        maps = self.layers(features)
        return torch.cat([self.source(maps), self.target(maps)], dim=1)


def _cost(said: Tensor, label: Tensor) -> Float[Tensor, ""]:
    """Cross-entropy with a soft label, at the label's size; as in FADA's code, corners lie on corners."""
    size = (label.shape[-2], label.shape[-1])
    said = F.interpolate(said.float(), size, mode="bilinear", align_corners=True)
    return -(label * said.log_softmax(1)).sum(1).mean()
