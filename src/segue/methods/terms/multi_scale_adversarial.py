"""Each prediction on the target is to look like the source's, at three sizes, to networks that tell them apart."""

from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from segue.methods.adversary import JudgeSettings, still
from segue.methods.context import Context
from segue.methods.levels import LevelSettings
from segue.methods.method import Optimisation, Term
from segue.methods.terms.memory import together
from segue.settings import Count, NotNegative
from segue.types import Output, View

SIZES = 3

RESIDUALS = 4

REAL, FAKE = 1.0, 0.0


class PyramidJudgeSettings(JudgeSettings):
    """Discriminators of a map at several sizes, and the Adam that they learn by."""

    channels: Count = 32
    penalty: NotNegative = 0.01  # share of the squared gradient with respect to source maps


class MultiScaleAdversarialSettings(LevelSettings):
    """MRNet: an adversary for each of the network's predictions, which looks at three sizes."""

    discriminator: PyramidJudgeSettings = PyramidJudgeSettings()

    def build(self, context: Context) -> "MultiScaleAdversarial":
        """The term.

        Raises:
            ValueError: If probabilities are to be looked at on another grid.
        """
        if self.resolution != "picture":
            raise ValueError(
                "terms.multi_scale_adversarial.resolution: its three sizes begin with the picture's; leave it out"
            )
        return MultiScaleAdversarial(
            self,
            num_classes=len(context.classes),
            auxiliary=context.network.auxiliary is not None,
            steps=context.steps,
        )


class MultiScaleAdversarial(Term):
    """The student makes each target prediction look like what both say of the source, to a judge of its own.

    Source: the code of MRNet (Zheng and Yang, IJCAI 2020): least squares, in which the student's count twice, summed
    over sizes; judges are held back by their gradient with respect to the source's maps.

    Args:
        auxiliary: Whether the network makes an auxiliary prediction, which has a judge of its own.
        steps: The length of the run.
    """

    view_names = ("source", "target")

    def __init__(
        self, settings: MultiScaleAdversarialSettings, *, num_classes: int, auxiliary: bool, steps: int = 1
    ) -> None:
        super().__init__()
        self.settings = settings
        self.auxiliary = auxiliary
        self.steps = steps
        channels = settings.discriminator.channels
        self.judges = nn.ModuleList(PyramidJudge(num_classes, channels) for _ in range(1 + auxiliary))

    def forward(self, network: nn.Module, view: View, output: Output) -> dict[str, Tensor]:
        """The judges' losses, and on the target the student's."""
        found: dict[str, Tensor] = {}
        if view.name == "source":
            size = (view.image.shape[-2], view.image.shape[-1])
            predictions = output.supervised if self.auxiliary else output.supervised[:1]
            real = together(predictions, size).detach().softmax(1)
            for level, judge in zip(("", "_auxiliary"), self.judges, strict=False):
                found[f"judge{level}"] = self._cost_of_real(cast(PyramidJudge, judge), real)
            return found
        levels = self.settings.levels(output, view, auxiliary=self.auxiliary, done=self.step / self.steps)
        for judge, (level, share, probability) in zip(self.judges, levels, strict=True):
            found[f"judge{level}"] = _squares(judge(probability.detach()), FAKE)
            found[f"multi_scale_adversarial{level}"] = (
                share * 2.0 * _squares(cast(list[Tensor], still(judge, probability)), REAL)
            )
        return found

    def optimisations(self) -> dict[str, Optimisation]:
        """One for all judges."""
        return self.settings.discriminator.optimisation(self.judges)

    def _cost_of_real(self, judge: "PyramidJudge", real: Tensor) -> Float[Tensor, ""]:
        penalty = self.settings.discriminator.penalty
        real = real.requires_grad_(penalty > 0)
        said = judge(real)
        cost = _squares(said, REAL)
        if not penalty:
            return cost
        for one in said:
            (slope,) = torch.autograd.grad(one.float().sum(), real, create_graph=True)
            cost = cost + penalty * slope.square().sum((1, 2, 3)).mean()
        return cost


class PyramidJudge(nn.Module):
    """A stack of convolutions for each size of a map; each size is half as large as the one before.

    Source: the code of MRNet: three of five convolutions halve the map, and residual blocks follow. Its settings ask
    for mirrored borders, but its convolutions pad with zeros, as here.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.sizes = nn.ModuleList(_stack(in_channels, channels) for _ in range(SIZES))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, maps: Float[Tensor, "b k h w"]) -> list[Tensor]:
        """What each says of cells of eight pixels of its size (B,1,h,w)."""
        said: list[Tensor] = []
        for stack in self.sizes:
            said.append(stack(maps))
            maps = F.avg_pool2d(maps, 3, stride=2, padding=1, count_include_pad=False)
        return said


class Residual(nn.Module):
    """Two convolutions, added to what they saw."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """A map of the same size."""
        return maps + self.layers(maps)


def _stack(in_channels: int, channels: int) -> nn.Sequential:
    widths = ((in_channels, channels, 2), (channels, channels, 1), (channels, channels, 2))
    widths += ((channels, channels, 1), (channels, 2 * channels, 2))
    layers: list[nn.Module] = []
    for width, wider, stride in widths:
        layers += [nn.Conv2d(width, wider, 3, stride=stride, padding=1), nn.LeakyReLU(0.2)]
    layers += [Residual(2 * channels) for _ in range(RESIDUALS)]
    return nn.Sequential(*layers, nn.Conv2d(2 * channels, 1, 1))


def _squares(said: list[Tensor], wanted: float) -> Float[Tensor, ""]:
    return torch.stack([(one.float() - wanted).square().mean() for one in said]).sum()
