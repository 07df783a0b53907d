"""When to learn from the target: as far as student and teacher agree on a picture, and more with time."""

import math
from typing import Literal

import torch
from torch import Tensor

from segue.methods.context import PAPER_STEPS, Context
from segue.ops.quality import agreement
from segue.settings import NotNegative, Settings, Share
from segue.types import Trust

Mode = Literal["coordinated", "accuracy", "time", "threshold", "none"]


class CoordinationSettings(Settings):
    """STCT: how far each target picture is trusted."""

    alpha: NotNegative = 2e-4  # at 40 000 steps; the ramp keeps its share of a shorter run
    mode: Mode = "coordinated"
    threshold: Share = 0.5  # of the mode "threshold": pseudo-accuracy from which a picture is trusted

    def build(self, context: Context) -> "Coordination":
        """With a ramp that takes the same share of a run of any length."""
        alpha = self.alpha * PAPER_STEPS / context.steps
        return Coordination(alpha, mode=self.mode, threshold=self.threshold)


class Coordination:
    """A weight for each target picture, known only after the student's pass.

    Source: STCT + MHA, section 3.1: equation 1 and the loss stated below it, the threshold that it is set against, and
    the ablation of figure 4.

    Args:
        alpha: How fast trust grows with time: after one over alpha steps it has reached 0.63 of its end. With 0 it
            stays 0, and the source alone is learnt.
        mode: "coordinated": the pseudo-accuracy times what time allows; "accuracy" and "time" are either of
            them; "threshold" trusts a picture wholly from a pseudo-accuracy on and not at all below; "none"
            trusts every picture.
        threshold: That pseudo-accuracy.
    """

    def __init__(self, alpha: float = 2e-4, *, mode: Mode = "coordinated", threshold: float = 0.5) -> None:
        self.alpha = alpha
        self.mode: Mode = mode
        self.threshold = threshold

    def at(self, step: int) -> Trust:
        """The trust of a step: a function of the student's logits and the pseudo-label."""
        grown = 1.0 - math.exp(-self.alpha * step)

        def trust(logits: Tensor, label: Tensor) -> Tensor:
            match self.mode:
                case "coordinated":
                    return agreement(logits, label) * grown
                case "accuracy":
                    return agreement(logits, label)
                case "time":
                    return torch.full((len(label),), grown, device=label.device)
                case "threshold":
                    return (agreement(logits, label) >= self.threshold).float()
                case "none":
                    return torch.ones(len(label), device=label.device)

        return trust
