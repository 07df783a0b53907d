"""CRST's regulariser, which keeps the student from becoming certain of pseudo-labels."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from segue.methods.context import Context
from segue.methods.method import MethodSettings, Term, TermSettings
from segue.ops.losses import masked_mean
from segue.ops.resize import resize
from segue.settings import NotNegative
from segue.types import IGNORE, Output, View

Kind = Literal["divergence", "entropy", "squares"]


class ConfidenceSettings(TermSettings):
    """CRST's regulariser of pseudo-labelled pixels."""

    share: NotNegative = 0.1  # lambda
    # What is minimised: the prediction's divergence from the uniform one (MRKLD), its negative entropy (MRENT) or the
    # sum of its squares (MRL2).
    kind: Kind = "divergence"

    def check(self, method: MethodSettings) -> None:
        """The target needs labels, made by a teacher or beforehand."""
        if not method.labels_target:
            raise ValueError(
                f"terms.confidence is about pseudo-labels, and method {method.name} has none: leave it out, or choose"
                " method.name=offline or self_training"
            )

    def build(self, context: Context) -> "ConfidenceRegularizer":
        """Build the term."""
        return ConfidenceRegularizer(self)


class ConfidenceRegularizer(Term):
    """How far predictions on pseudo-labelled target pixels are from uniform ones, which cost 0.

    Source: CRST (Zou et al., ICCV 2019), section 4.2. The released script multiplies by the share twice (0.01 for
    0.1); here it is multiplied once, as published.
    """

    view_names = ("target",)

    def __init__(self, settings: ConfidenceSettings) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, network: nn.Module, view: View, output: Output) -> dict[str, Tensor]:
        """The mean over the pseudo-labelled pixels; 0 without any."""
        assert view.label is not None
        logits = resize(output.logits.float(), (view.label.shape[-2], view.label.shape[-1]))
        counts = view.label != IGNORE
        if view.mix_mask is not None:
            counts = counts & ~view.mix_mask
        certainty = _certainty(torch.log_softmax(logits, 1), self.settings.kind)
        return {"confidence": self.settings.share * masked_mean(certainty, counts)}


def _certainty(log_probability: Tensor, kind: Kind) -> Tensor:
    """Each pixel's certainty (B,H,W) from log probabilities (B,K,H,W); 0 for a uniform prediction."""
    classes = log_probability.shape[1]
    match kind:
        case "divergence":
            return -log_probability.mean(1) - math.log(classes)
        case "entropy":
            return (log_probability.exp() * log_probability).sum(1) + math.log(classes)
        case "squares":
            return log_probability.exp().square().sum(1) - 1 / classes
