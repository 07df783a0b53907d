"""STCT's coordination: how far a target picture is trusted depends on agreement with the teacher, and on time."""

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

    # How fast trust grows: after 1 / alpha steps of 40 000, or the same share of a run of another length, it has
    # reached 63 % of its final value. With 0 the source alone is learnt.
    alpha: NotNegative = 2e-4
    # "coordinated": the pseudo-accuracy times the growth with time; "accuracy" or "time": one of the two alone;
    # "threshold": trust a picture wholly or not at all, by its pseudo-accuracy; "none": trust every picture.
    mode: Mode = "coordinated"
    threshold: Share = 0.5  # the pseudo-accuracy from which mode "threshold" trusts a picture

    def build(self, context: Context) -> "Coordination":
        """Build it so that trust grows over the same share of a run of any length."""
        return Coordination(self, steps=context.steps)


class Coordination:
    """A weight for each target picture, known only after the student's pass.

    Source: STCT + MHA, section 3.1: equation 1 and the loss below it, the threshold that it is compared with, and the
    ablation of figure 4.
    """

    def __init__(self, settings: CoordinationSettings, *, steps: int) -> None:
        self.settings = settings
        self.alpha = settings.alpha * PAPER_STEPS / steps

    def at(self, step: int) -> Trust:
        """The trust at a step, as a function of the student's logits and the pseudo-label."""
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
