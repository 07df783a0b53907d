"""Training on pseudo-labels that were made beforehand: CBST's rounds, the student of an ensemble."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from segue.methods.method import Method, Term
from segue.ops.balance import hardest, present_pixels
from segue.ops.losses import cross_entropy
from segue.ranks import mean_over_ranks
from segue.types import IGNORE, Batch, Joint, View


class ClassWeights(nn.Module):
    """Weights of the classes of a batch: more for those with few pixels, and more still for those seldom seen.

    Source: the code of ensemble distillation: a class with fewer than 64 x 64 pixels a picture of 512 x 256, or
    without any, weighs seven times; a factor that follows, by a tenth a batch, 7 where the class is absent and 1
    elsewhere is multiplied to it.

    Args:
        classes: How many there are.
        weight: Of a small class.
        small: Share of a batch's pixels below which a class is small.
        momentum: Of the factor for classes seldom seen; 1 leaves it at one.
    """

    often: Tensor

    def __init__(
        self, classes: int, *, weight: float = 7.0, small: float = 1 / 32, momentum: float = 0.9
    ) -> None:
        super().__init__()
        self.weight = weight
        self.small = small
        self.momentum = momentum
        self.register_buffer("often", torch.ones(classes))

    @torch.no_grad()
    def forward(self, label: Tensor) -> Tensor:
        """The weights of this batch (K,); the factor moves."""
        pixels = mean_over_ranks(present_pixels(label, len(self.often)).float())
        absent = torch.where(pixels == 0, self.weight, 1.0)
        self.often.lerp_(absent, 1.0 - self.momentum)
        return torch.where(pixels < self.small * label.numel(), self.weight, 1.0) * self.often


class OfflineTraining(Method):
    """The student learns the target's offline labels, with the source beside them or without.

    Source: CBST (Zou et al., ECCV 2018) and CRST (Zou et al., ICCV 2019) train on both; ensemble distillation on
    the target alone, with class weights and the hardest fifth of the pixels.

    Args:
        student: The network that is trained.
        terms: Additional losses.
        source: Whether the source is learnt, too.
        weights: Weighs the classes of the target; None for all alike.
        percentile: Target pixels whose loss is below this percentile of the batch's are left out; 0 keeps all.
    """

    def __init__(
        self,
        student: nn.Module,
        terms: Mapping[str, Term] | None = None,
        *,
        source: bool = False,
        weights: ClassWeights | None = None,
        percentile: float = 0.0,
    ) -> None:
        super().__init__(student, terms, view_names=("source", "target") if source else ("target",))
        self.source = source
        self.weights = weights
        self.percentile = percentile

    def views(self, batch: Batch, step: int) -> Iterator[View | Joint]:
        """One step of the algorithm.

        Yields:
            The source view if it is learnt, then the target with its offline label.
        """
        assert batch.target is not None and batch.target.offline is not None, (
            "the engine gives offline labels"
        )
        if self.source:
            yield View("source", batch.source.image, batch.source.label, loss=_over_labelled(None, 0.0))
        label = batch.target.offline
        if batch.target.valid is not None:
            label = label.masked_fill(~batch.target.valid, IGNORE)
        weights = None if self.weights is None else self.weights(label)
        yield View("target", batch.target.image, label, loss=_over_labelled(weights, self.percentile))


def labelled_loss(logits: Tensor, label: Tensor, weights: Tensor | None, percentile: float) -> Tensor:
    """Cross-entropy whose mean over all pixels is the weighted mean over those that are labelled and hard.

    Source: the code of ensemble distillation; a batch without a labelled pixel costs 0.

    Args:
        logits: (B,K,H,W).
        label: (B,H,W).
        weights: Of each class; None for one.
        percentile: As :func:`segue.ops.balance.hardest`, of the weighted loss.

    Returns:
        (B,H,W).
    """
    loss = cross_entropy(logits, label)
    counted = torch.ones_like(loss) if weights is None else weights[label.clamp(max=len(weights) - 1)]
    loss = loss * counted
    kept = hardest(loss, label, percentile=percentile) != IGNORE
    total = (counted * kept).sum().clamp(min=1)  # one labelled pixel weighs at least 1
    return loss * kept * (loss.numel() / total)


def _over_labelled(weights: Tensor | None, percentile: float):
    def loss(logits: Tensor, label: Tensor) -> Tensor:
        return labelled_loss(logits, label, weights, percentile)

    return loss
