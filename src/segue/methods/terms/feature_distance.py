"""Keep the features of things close to those of the pretrained weights that training started from."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segue.methods.method import Term
from segue.methods.teacher import Frozen
from segue.ops import losses
from segue.ops.resize import shrink_label
from segue.types import Output, View


class FeatureDistance(Term):
    """Distance between the student's and a frozen encoder's last features, where the source shows things.

    Source: DAFormer (Hoyer et al., CVPR 2022), section 3.2, equations 8 to 11.

    Args:
        reference: From an image to its features as ``network.weights`` make them, usually ImageNet's, and never as a
            model does that was trained on the source.
        classes: Training ids of the classes to look at; None for all.
        num_classes: Number of training classes.
        share: The loss's part of the whole.
        min_share: Part of a feature cell that one class must cover for the cell to count.
    """

    view_names: tuple[str, ...] = ("source",)
    wanted: Tensor

    def __init__(
        self,
        reference: nn.Module,
        *,
        classes: Sequence[int] | None,
        num_classes: int,
        share: float = 0.005,
        min_share: float = 0.75,
    ) -> None:
        super().__init__()
        self.reference = Frozen(reference)
        self.num_classes = num_classes
        self.share = share
        self.min_share = min_share
        wanted = torch.zeros(256, dtype=torch.bool)
        wanted[list(range(num_classes) if classes is None else classes)] = True
        self.register_buffer("wanted", wanted, persistent=False)

    def forward(self, network: nn.Module, view: View, output: Output) -> dict[str, Tensor]:
        """The mean distance over the cells that one of the classes covers; 0 if there is none."""
        assert view.label is not None
        features = output.features[-1]
        reference: Tensor = self.reference(view.image)[-1]
        size = (features.shape[-2], features.shape[-1])
        cells = shrink_label(view.label, size, num_classes=self.num_classes, min_share=self.min_share)
        distance = losses.feature_distance(features, reference)
        return {"feature_distance": self.share * losses.masked_mean(distance, self.wanted[cells])}
