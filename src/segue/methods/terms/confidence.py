"""CRST's regulariser: pseudo-labels are learnt, but not to certainty."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from segue.methods.context import Context
from segue.methods.method import Term, TermSettings
from segue.ops.resize import resize
from segue.settings import NotNegative
from segue.types import IGNORE, Output, View

Kind = Literal["divergence", "entropy", "squares"]


class ConfidenceSettings(TermSettings):
    """CRST: pseudo-labels are not learnt to certainty."""

    share: NotNegative = 0.1  # lambda
    # Divergence of the prediction from the uniform one, the mean over the classes of the negative log probability
    # (MRKLD); its negative entropy (MRENT); the sum of its squares (MRL2).
    kind: Kind = "divergence"

    def build(self, context: Context) -> "ConfidenceRegularizer":
        """The term."""
        return ConfidenceRegularizer(self)


class ConfidenceRegularizer(Term):
    """How far the prediction is from certain of nothing, on pseudo-labelled pixels of the target.

    Source: CRST (Zou et al., ICCV 2019), section 4.2; constants are such that a uniform prediction
    costs 0.

    Note:
        The released script multiplies by the share twice (0.01 for 0.1); here it is multiplied once, as published.
    """

    view_names = ("target",)

    def __init__(self, settings: ConfidenceSettings) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, network: nn.Module, view: View, output: Output) -> dict[str, Tensor]:
        """The mean over the labelled pixels; 0 without any."""
        assert view.label is not None
        logits = resize(output.logits.float(), (view.label.shape[-2], view.label.shape[-1]))
        counts = view.label != IGNORE
        if view.mix_mask is not None:
            counts = counts & ~view.mix_mask
        certainty = _certainty(torch.log_softmax(logits, 1), self.settings.kind)
        kept = torch.where(counts, certainty, torch.zeros_like(certainty))
        return {"confidence": self.settings.share * kept.sum() / counts.sum().clamp(min=1)}


def _certainty(log_probability: Tensor, kind: Kind) -> Tensor:
    """Of each pixel (B,H,W), from log probabilities (B,K,H,W); 0 for a uniform prediction."""
    classes = log_probability.shape[1]
    match kind:
        case "divergence":
            return -log_probability.mean(1) - math.log(classes)
        case "entropy":
            return (log_probability.exp() * log_probability).sum(1) + math.log(classes)
        case "squares":
            return log_probability.exp().square().sum(1) - 1 / classes
