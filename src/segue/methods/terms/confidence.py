"""CRST's regulariser: pseudo-labels are learnt, but not to certainty."""

import math

import torch
from torch import Tensor, nn

from segue.methods.method import Term
from segue.ops.resize import enlarge
from segue.types import IGNORE, Output, View


class ConfidenceRegularizer(Term):
    """The divergence of a uniform distribution from the prediction, on pseudo-labelled pixels.

    Source: CRST (Zou et al., ICCV 2019), section 4.2, MRKLD: the mean over the classes of the negative log
    probability, here less log K, so that a uniform prediction costs 0.

    Note:
        The released script multiplies by the share twice (0.01 for 0.1); here it is multiplied once, as published.

    Args:
        share: The loss's share.
    """

    view_names = ("target",)

    def __init__(self, *, share: float = 0.1) -> None:
        super().__init__()
        self.share = share

    def forward(self, network: nn.Module, view: View, output: Output) -> dict[str, Tensor]:
        """The mean over the labelled pixels; 0 without any."""
        assert view.label is not None
        logits = enlarge(output.logits.float(), (view.label.shape[-2], view.label.shape[-1]))
        counts = view.label != IGNORE
        divergence = -torch.log_softmax(logits, 1).mean(1) - math.log(logits.shape[1])
        kept = torch.where(counts, divergence, torch.zeros_like(divergence))
        return {"confidence": self.share * kept.sum() / counts.sum().clamp(min=1)}
