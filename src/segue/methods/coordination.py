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

    # How fast trust grows with time: after one over alpha of 40 000 steps it has reached 0.63 of its end, and after the
    # same share of a run of another length. With 0 it stays 0, and the source alone is learnt.
    alpha: NotNegative = 2e-4
    # "coordinated": the pseudo-accuracy times what time allows; "accuracy" and "time" are either of them; "threshold"
    # trusts a picture wholly from a pseudo-accuracy on and not at all below; "none" trusts every picture.
    mode: Mode = "coordinated"
    threshold: Share = 0.5  # that pseudo-accuracy

    def build(self, context: Context) -> "Coordination":
        """With a ramp that takes the same share of a run of any length."""
        return Coordination(self, steps=context.steps)


class Coordination:
    """A weight for each target picture, known only after the student's pass.

    Source: STCT + MHA, section 3.1: equation 1 and the loss stated below it, the threshold that it is set against, and
    the ablation of figure 4.

    Args:
        steps: The length of the run.
    """

    def __init__(self, settings: CoordinationSettings, *, steps: int) -> None:
        self.settings = settings
        self.alpha = settings.alpha * PAPER_STEPS / steps

    def at(self, step: int) -> Trust:
        """The trust of a step: a function of the student's logits and the pseudo-label."""
        grown = 1.0 - math.exp(-self.alpha * step)

        def trust(logits: Tensor, label: Tensor) -> Tensor:
            match self.settings.mode:
                case "coordinated":
                    return agreement(logits, label) * grown
                case "accuracy":
                    return agreement(logits, label)
                case "time":
                    return torch.full((len(label),), grown, device=label.device)
                case "threshold":
                    return (agreement(logits, label) >= self.settings.threshold).float()
                case "none":
                    return torch.ones(len(label), device=label.device)

        return trust
