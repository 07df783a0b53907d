"""DAFormer's feature distance, which keeps features of things close to those of the pretrained weights."""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segue.classes import THINGS
from segue.methods.context import Context
from segue.methods.method import Term, TermSettings
from segue.methods.teacher import Frozen
from segue.ops import losses
from segue.ops.resize import shrink_label
from segue.settings import NotNegative, Share
from segue.types import Output, View

logger = logging.getLogger(__name__)


class FeatureDistanceSettings(TermSettings):
    """DAFormer's distance to the features of the pretrained weights."""

    classes: list[str] | None = None  # None: Cityscapes' things among the pair's classes, or all classes
    share: NotNegative = 0.005  # lambda
    min_share: Share = 0.75  # r: share of a feature cell that one class must cover for the cell to count

    def build(self, context: Context) -> "FeatureDistance":
        """Build the term, whose reference is a network with ``network.weights`` alone."""
        if context.network.weights is None:
            logger.warning(
                "feature distance to random features: network.weights is not set, so the reference has learnt nothing;"
                " name weights, or leave it out with --set terms.feature_distance=null"
            )
        known = context.classes
        names = self.classes or [name for name in known.names if name in THINGS] or known.names
        chosen = [known.index(name) for name in names]
        return FeatureDistance(self, context.reference(), classes=chosen, num_classes=len(known))


class FeatureDistance(Term):
    """Distance between the student's and a frozen encoder's last features, where the source shows things.

    Source: DAFormer (Hoyer et al., CVPR 2022), section 3.2, equations 8 to 11.

    Args:
        reference: Turns an image into features; its weights, usually ImageNet's, must not have seen the source.
        classes: Training ids of the classes that count; None for all.
    """

    view_names: tuple[str, ...] = ("source",)
    wanted: Tensor

    def __init__(
        self,
        settings: FeatureDistanceSettings,
        reference: nn.Module,
        *,
        classes: Sequence[int] | None,
        num_classes: int,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.reference = Frozen(reference)
        self.num_classes = num_classes
        wanted = torch.zeros(256, dtype=torch.bool)
        wanted[list(range(num_classes) if classes is None else classes)] = True
        self.register_buffer("wanted", wanted, persistent=False)

    def forward(self, network: nn.Module, view: View, output: Output) -> dict[str, Tensor]:
        """The mean distance over the feature cells that one of the classes covers; 0 if there is none."""
        assert view.label is not None
        features = output.features[-1]
        reference: Tensor = self.reference(view.image)[-1]
        size = (features.shape[-2], features.shape[-1])
        cells = shrink_label(
            view.label, size, num_classes=self.num_classes, min_share=self.settings.min_share
        )
        distance = losses.feature_distance(features, reference)
        return {"feature_distance": self.settings.share * losses.masked_mean(distance, self.wanted[cells])}
