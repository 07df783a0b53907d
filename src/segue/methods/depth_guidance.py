"""CorDA: depth is learnt beside the classes, and pixels count as far as both domains' depths agree."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from segue.methods.context import Context
from segue.methods.method import Term
from segue.models.segmenter import Segmenter
from segue.ops.depth import berhu, depth_agreement
from segue.ops.mixing import paste
from segue.ops.resize import resize
from segue.ranks import mean_over_ranks
from segue.settings import NotNegative, Settings, Share
from segue.types import Output, View

KNOWN = "student and data have depth"


class DepthGuidanceSettings(Settings):
    """CorDA: depth is learnt and guides labels."""

    source_share: NotNegative = 0.01  # of the loss of depths on the source
    target_share: NotNegative = 0.001  # and on the mixed picture
    # The share of the run in which the teacher labels by its first prediction: 25 001 of 250 000.
    first_until: Share = 0.100004
    weigh: bool = True  # pixels of the mixed picture count as far as both predicted depths agree

    def term(self) -> "DepthLoss":
        """The loss of the depths."""
        return DepthLoss(self)

    def build(self, context: Context) -> "DepthGuidance":
        """Build it for a student that predicts depth; ``ValueError`` for another one."""
        student: Segmenter = context.student
        if not student.predicts_depth:
            raise ValueError(
                f"recipe {context.recipe} learns depth, which network.head={context.network.head} does not predict: set"
                " network.head=segformer_tasks or deeplab_tasks"
            )
        return DepthGuidance(self, steps=context.steps)


class DepthGuidance:
    """Which prediction of the teacher counts, and how far mixed pixels do (CorDA, ICCV 2021, and its code)."""

    def __init__(self, settings: DepthGuidanceSettings, *, steps: int) -> None:
        self.first_steps = round(settings.first_until * steps)
        self.trust = pixel_trust if settings.weigh else None

    def taught(self, taught: Output, step: int) -> Output:
        """The teacher's output with the logits that label at a step."""
        if step >= self.first_steps or taught.first_logits is None:
            return taught
        return replace(taught, logits=taught.first_logits)


def pixel_trust(output: Output, view: View) -> Tensor:
    """How far both predicted depths agree at each pixel (B,H,W), over the batch's mean."""
    depths, depth = output.depths, view.depth
    assert depths is not None and depth is not None, KNOWN
    agreed = depth_agreement(_at(depths.source, depth), _at(depths.target, depth), depth)
    return agreed / mean_over_ranks(agreed.mean())


class DepthLoss(Term):
    """Both stages' reverse Huber loss, of the source's depth where the source is seen, else of the target's."""

    view_names = ("source", "target")

    def __init__(self, settings: DepthGuidanceSettings) -> None:
        super().__init__()
        self.shares = {"source": settings.source_share, "target": settings.target_share}

    def forward(self, network: nn.Module, view: View, output: Output) -> dict[str, Tensor]:
        """Both stages' sum, times the view's share."""
        depths, depth = output.depths, view.depth
        assert depths is not None and depth is not None, KNOWN
        stages = ((depths.source, depths.target), (depths.first_source, depths.first_target))
        losses = [berhu(self._prediction(view, *stage, depth), depth) for stage in stages]
        return {"depth": self.shares[view.name] * (losses[0] + losses[1])}

    def _prediction(self, view: View, source: Tensor, target: Tensor, depth: Tensor) -> Tensor:
        is_source = view.mix_mask
        if is_source is None:
            is_source = torch.full_like(depth, view.name == "source", dtype=torch.bool)
        # Both get a gradient, if only zeros: processes reduce what every parameter got.
        return paste(is_source, _at(source, depth), _at(target, depth))


def _at(predicted: Tensor, depth: Tensor) -> Tensor:
    """A prediction (B,1,h,w) at a depth's size, (B,H,W)."""
    return resize(predicted.float(), (depth.shape[-2], depth.shape[-1]))[:, 0]
