"""Hybrid attention: source and target share a pass of the student, and their tokens attend to each other in groups."""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from segue.methods.context import Context
from segue.ops import groups
from segue.settings import Settings, Stage
from segue.types import Direction, HybridRules, Joint, View

Grouping = Literal["none", "random", "hvh", "hvr", "cutout", "semantic"]
TargetMask = Literal["source", "pseudo", "mixed"]


class HybridAttentionSettings(Settings):
    """MHA: source and target in one pass, in which their tokens attend to each other."""

    grouping: Grouping = "semantic"  # how tokens are divided into groups (ops.groups); "none": not at all
    # k: classes whose pixels semantic grouping puts into either group at random.
    scattered: Annotated[int, Field(ge=0)] = 0
    # How semantic grouping divides the target: "source" copies the source's mask as in the paper, "pseudo" goes by the
    # teacher's label, "mixed" by the label of the picture that the student is shown.
    target_mask: TargetMask = "source"
    direction: Direction = "bidirectional"  # whose queries attend to the other domain: both, s2t, t2s or none
    inter_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5  # rho: how much the other domain's keys count
    groups_itself: bool = True  # a domain that attends only to itself still does so within its group
    stages: list[Stage] = [1, 2, 3, 4]  # stages of the encoder with hybrid attention
    resample: Literal["step", "stage", "block"] = "step"  # draw groups once a step, or for each of these

    def build(self, context: Context) -> "HybridPair":
        """Build it for the stages and blocks of the student's encoder."""
        return HybridPair(self, [len(names) for names in context.student.encoder.layers])


class HybridPair:
    """Joins source and target into one pass, and draws the groups within which their tokens attend to each other.

    Source: STCT + MHA, sections 3.2 and 3.3, table 2. ``depths`` counts the blocks in each stage of the encoder.
    """

    def __init__(self, settings: HybridAttentionSettings, depths: Sequence[int]) -> None:
        self.settings = settings
        self.draws = {"step": 1, "stage": len(depths), "block": sum(depths)}[settings.resample]
        self.rules = HybridRules(
            settings.direction, settings.inter_share, settings.groups_itself, tuple(settings.stages)
        )

    def __call__(self, source: View, target: View, shown: View) -> Joint:
        """One pass of the source and the ``shown`` view, which is the target after mixing and colour changes."""
        drawn: Tensor | None = None
        if self.settings.grouping != "none":
            drawn = torch.stack([self._draw(source, target, shown) for _ in range(self.draws)])
        return Joint([source, shown], drawn, self.rules)

    def _draw(self, source: View, target: View, shown: View) -> Tensor:
        assert source.label is not None
        pairs, height, width = source.label.shape
        size, device = (pairs, height, width), source.label.device
        match self.settings.grouping:
            case "random":
                return groups.random_groups(size, device=device)
            case "hvh" | "hvr":
                return groups.halves(size, anywhere=self.settings.grouping == "hvr", device=device)
            case "cutout":
                return groups.cutout(size, device=device)
            case _:
                others = {"source": None, "pseudo": target.label, "mixed": shown.label}
                return groups.semantic(
                    source.label, others[self.settings.target_mask], scattered=self.settings.scattered
                )
