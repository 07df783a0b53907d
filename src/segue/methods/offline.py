"""Training on pseudo-labels that were made beforehand: CBST's rounds, the student of an ensemble."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from segue.methods.method import Method, Term
from segue.ops.balance import hardest, present_pixels
from segue.ops.losses import cross_entropy, soft_cross_entropy
from segue.ops.mixing import one_hot
from segue.ranks import mean_over_ranks
from segue.types import IGNORE, Batch, Joint, PixelLoss, Source, View

BATCH_NORM = nn.modules.batchnorm._BatchNorm  # pyright: ignore[reportPrivateUsage]
"""Every norm that keeps statistics of batches."""


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
    """The student learns the target's offline labels, alone or in common batches with the source.

    Source: CBST (Zou et al., ECCV 2018) and CRST (Zou et al., ICCV 2019) learn both, with one mean over the
    labelled pixels of both, and leave the statistics of batch norms as they were; ensemble distillation learns
    the target alone, with class weights and the hardest fifth of the pixels.

    Args:
        student: The network that is trained.
        terms: Additional losses.
        source: Whether the batch's source pictures are learnt, too.
        weights: Weighs the classes; None for all alike.
        percentile: Pixels whose loss is below this percentile of the batch's are left out; 0 keeps all.
        frozen_statistics: Whether the student's batch norms normalise by the statistics that it came with, and
            leave them.
    """

    def __init__(
        self,
        student: nn.Module,
        terms: Mapping[str, Term] | None = None,
        *,
        source: bool = False,
        weights: ClassWeights | None = None,
        percentile: float = 0.0,
        frozen_statistics: bool = False,
    ) -> None:
        super().__init__(student, terms, view_names=("target",))
        self.source = source
        self.weights = weights
        self.percentile = percentile
        self.frozen_statistics = frozen_statistics

    def views(self, batch: Batch, step: int) -> Iterator[View | Joint]:
        """One step of the algorithm.

        Yields:
            The target's pictures with their offline label, and among them those of the source.
        """
        view = _target(batch)
        if self.source:
            view = _together(batch.source, view)
        assert view.label is not None
        view.loss = self._over_labelled(None if self.weights is None else self.weights(view.label))
        yield view

    def train(self, mode: bool = True) -> "OfflineTraining":
        """As everywhere; batch norms whose statistics are frozen stay in evaluation mode."""
        super().train(mode)
        if self.frozen_statistics:
            for module in self.student.modules():
                if isinstance(module, BATCH_NORM):
                    module.eval()
        return self

    def _over_labelled(self, weights: Tensor | None) -> PixelLoss:
        def loss(logits: Tensor, label: Tensor, soft: Tensor | None = None) -> Tensor:
            return labelled_loss(logits, label, weights, self.percentile, soft)

        return loss


def _target(batch: Batch) -> View:
    """The target's pictures with what an earlier stage said of them, where they have content."""
    target = batch.target
    assert target is not None and target.offline is not None, "the engine gives offline labels"
    label = target.offline if target.valid is None else target.offline.masked_fill(~target.valid, IGNORE)
    return View("target", target.image, label, soft=target.soft)


def _together(source: Source, target: View) -> View:
    """Pictures of both domains in one batch; the mix mask tells them apart."""
    assert target.label is not None
    label = torch.cat([source.label, target.label])
    is_source = torch.arange(len(label), device=label.device) < len(source.label)
    soft = target.soft
    return View(
        target.name,
        torch.cat([source.image, target.image]),
        label,
        mix_mask=is_source[:, None, None].expand_as(label),
        soft=None if soft is None else torch.cat([one_hot(source.label, soft), soft]),
    )


def labelled_loss(
    logits: Tensor, label: Tensor, weights: Tensor | None, percentile: float, soft: Tensor | None = None
) -> Tensor:
    """Cross-entropy whose mean over all pixels is the weighted mean over those that are labelled and hard.

    Source: the code of CRST and of ensemble distillation; a batch without a labelled pixel costs 0 (in CRST's
    code it is NaN).

    Args:
        logits: (B,K,H,W).
        label: (B,H,W).
        weights: Of each class; None for one.
        percentile: As :func:`segue.ops.balance.hardest`, of the weighted loss.
        soft: Probabilities (B,K,H,W) that are learnt in the label's place; None for the label.

    Returns:
        (B,H,W).
    """
    loss = cross_entropy(logits, label) if soft is None else soft_cross_entropy(logits, label, soft)
    counted = torch.ones_like(loss) if weights is None else weights[label.clamp(max=len(weights) - 1)]
    loss = loss * counted
    kept = hardest(loss, label, percentile=percentile) != IGNORE
    total = (counted * kept).sum().clamp(min=1)  # one labelled pixel weighs at least 1
    return loss * kept * (loss.numel() / total)
