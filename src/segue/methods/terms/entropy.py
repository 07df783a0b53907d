"""Predictions on the target are to be certain."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segue.methods.context import Context
from segue.methods.levels import LevelSettings
from segue.methods.method import Term
from segue.ops.balance import present_pixels
from segue.ops.information import charbonnier, self_information
from segue.ops.losses import LEAST, masked_mean
from segue.ops.resize import resize_nearest
from segue.ranks import mean_over_ranks, sum_with_gradient
from segue.settings import Positive, Share
from segue.types import Output, View


class EntropySettings(LevelSettings):
    """MinEnt: the normalised entropy of predictions on the target is made small."""

    eta: Positive | None = None  # FDA's form (E² + 1e-8)^eta, in its code 2; None for E itself
    # mu: as much of a source's class the target is to show at least; None to expect nothing. Its weight beside the
    # entropy, which is the same here, is ours.
    prior: Share | None = None

    def build(self, context: Context) -> "Entropy":
        """The term."""
        return Entropy(
            self,
            num_classes=len(context.classes),
            auxiliary=context.network.auxiliary is not None,
            steps=context.steps,
        )


class Entropy(Term):
    """The mean entropy over the target's pixels, between 0 and 1.

    Pixels of weight 0, and those pasted from the source, do not count.

    Source: MinEnt (in ADVENT, Vu et al., CVPR 2019), and its prior of the source's classes; FDA (Yang and Soatto, CVPR
    2020) with ``eta``.

    Note:
        FDA's code divides by ln 19 whatever the number of classes; here it is their own.

    Args:
        auxiliary: Whether the network makes an auxiliary prediction.
        steps: The length of the run.
    """

    source_ratio: Tensor

    def __init__(
        self, settings: EntropySettings, *, num_classes: int, auxiliary: bool, steps: int = 1
    ) -> None:
        super().__init__()
        self.settings = settings
        self.auxiliary = auxiliary
        self.steps = steps
        self.view_names = ("target",) if settings.prior is None else ("source", "target")
        # Of each class, the sum over the steps so far of its share of the labelled source pixels.
        self.register_buffer("source_ratio", torch.zeros(num_classes))

    def forward(self, network: nn.Module, view: View, output: Output) -> dict[str, Tensor]:
        """The losses of the target; the source's classes are only counted."""
        if view.name == "source":
            self._count(view)
            return {}
        found: dict[str, Tensor] = {}
        levels = self.settings.levels(output, view, auxiliary=self.auxiliary, done=self.step / self.steps)
        for level, share, probability in levels:
            counts = _counted(view, probability)
            entropy = self_information(probability).sum(1)
            if self.settings.eta is not None:
                entropy = charbonnier(entropy, self.settings.eta)
            found[f"entropy{level}"] = share * masked_mean(entropy, counts)
            if self.settings.prior is not None:
                found[f"class_prior{level}"] = share * self._missing(probability, counts)
        return found

    @torch.no_grad()
    def _count(self, view: View) -> None:
        assert view.label is not None
        pixels = mean_over_ranks(present_pixels(view.label, len(self.source_ratio)).float())
        self.source_ratio += pixels / pixels.sum().clamp(min=LEAST)

    def _missing(self, probability: Tensor, counts: Tensor) -> Tensor:
        """How much of the classes is missing on the target, given the source's."""
        assert self.settings.prior is not None
        expected = self.settings.prior * self.source_ratio / self.source_ratio.sum().clamp(min=1e-6)
        found = sum_with_gradient((probability * counts[:, None]).sum((0, 2, 3)))
        every = sum_with_gradient(counts.sum().float())
        return F.relu(expected - found / every.clamp(min=1)).sum()


def _counted(view: View, probability: Tensor) -> Tensor:
    """The pixels or cells (B,H,W) of the target that count."""
    batch, _, height, width = probability.shape
    counts = probability.new_ones((batch, *view.image.shape[-2:]), dtype=torch.bool)
    if view.weight is not None:
        counts = counts & (view.weight > 0)
    if view.mix_mask is not None:
        counts = counts & ~view.mix_mask
    return resize_nearest(counts[:, None].float(), (height, width))[:, 0] > 0
