"""SAC: a slow teacher labels several views of a target crop together, and asks less of classes that are rare."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from segue.methods.class_weights import ClassWeightSettings, balance
from segue.methods.context import Context
from segue.methods.method import MethodSettings, Term
from segue.methods.mixing import AugmentSettings
from segue.methods.stages import Stages
from segue.methods.taught import Taught
from segue.methods.teachers.slow import SlowSettings
from segue.ops.losses import cross_entropy
from segue.ops.resize import resize
from segue.ops.views import adaptive_label, joined_views, moved_prior, rarity, zeroed
from segue.ops.warp import inverse, visible, warped, zoomed
from segue.ranks import mean_over_ranks
from segue.settings import Count, NotNegative, Positive, Share
from segue.types import IGNORE, Batch, MeanOver, Output, View


class SeveralViewsSettings(MethodSettings):
    """SAC: self-training on labels that several views of a crop agree on."""

    name: Literal["several_views"] = "several_views"
    labels_target: ClassVar[bool] = True
    # Without network.start, first train on the source alone, with batch statistics of both domains.
    baseline: bool = True
    teacher: SlowSettings = SlowSettings()
    views: Count = 4  # of each target crop; the first one is the crop itself
    zoom: tuple[Annotated[float, Field(gt=0.0, le=1.0)], Annotated[float, Field(gt=0.0, le=1.0)]] = (0.5, 1.0)
    flip: Share = 0.5  # how often a view is mirrored
    augment: AugmentSettings | None = AugmentSettings(
        strength=0.4,
        hue=0.1,
        jitter_probability=0.5,
        blur_probability=0.5,
        sigma=(0.1, 2.0),
        grey_probability=0.2,
    )
    share: NotNegative = 5.0  # of the target's loss
    scale: Positive = 1e-3  # beta: where the prior starts, and how rare a class is of which less is asked
    prior_momentum: Share = 0.99
    lowest: Share = 0.2  # the lowest threshold
    highest: Share = 0.75  # zeta: the highest, as a share of the class's highest confidence in the view
    focus: NotNegative = 3.0  # lambda: exponent of the weight of rare classes
    # By whose confidence a pixel is weighed: its own view's, or the mean of all views' at the same place, which is what
    # the official code computes.
    confidence: Literal["view", "batch"] = "view"
    source_mean: MeanOver = "labelled"  # what the source's loss is averaged over
    weights: ClassWeightSettings | None = None  # of the source's classes

    @property
    def colours(self) -> AugmentSettings | None:
        """Those of ``augment``."""
        return self.augment

    def build(self, context: Context, terms: Mapping[str, Term]) -> "SeveralViews":
        """Build the method around the student, with its teacher."""
        return SeveralViews(self, context, terms)

    def carry_out(self, stages: Stages) -> dict[str, Any] | None:
        """Train the baseline, unless there is a start, then adapt it.

        Source: SAC (Araslanov and Roth, CVPR 2021), section 4.
        """
        if stages.start is not None or not self.baseline:
            return stages.train()
        stages.begin()
        first: Path = stages.folder / "baseline"
        stages.say("first stage: the source alone, with batch statistics of both domains")
        alone = {"name": "source_only", "mixes_statistics": True}
        stages.train_stage(first, start=None, changes={"method": alone})
        stages.say("second stage: self-training")
        scores = stages.train_stage(
            stages.folder / "adapted", start=first, changes={"method": {"baseline": False}}
        )
        stages.keep(stages.folder / "adapted")
        return scores


class SeveralViews(Taught):
    """The student learns several views of a target crop, as a slow average of it labels them together.

    Source: SAC (Araslanov and Roth, CVPR 2021), section 3, and its code.

    Note:
        The official loss multiplies (B,H,W) by (B,1,H,W), so that every view is weighed by the confidence of all;
        ``confidence: batch`` does so, too.
    """

    prior: Tensor

    def __init__(self, settings: SeveralViewsSettings, context: Context, terms: Mapping[str, Term]) -> None:
        super().__init__(context.student, terms, view_names=("source", "target"))
        self.settings = settings
        self.teacher = settings.teacher.build(context, terms)
        self.augment = settings.augment and settings.augment.build(context)
        self.weights = settings.weights and settings.weights.build(len(context.classes))
        # chi: how probable each class has been lately.
        self.register_buffer("prior", torch.full((len(context.classes),), settings.scale))

    def views(self, batch: Batch, step: int) -> Iterator[View]:
        """Yield the source view and the target view, which holds all views of all crops."""
        assert batch.target is not None, "the engine gives a target loader"

        # 1. The student learns the source.
        source = View("source", batch.source.image, batch.source.label, mean_over=self.settings.source_mean)
        balance(source, self.weights, percentile=0.0)
        yield source

        # 2. Every target crop is seen several times, mirrored and from further away.
        crop, valid = (self._several(part) for part in (batch.target.image, batch.target.valid))
        assert crop is not None
        to_picture = self._draw(len(crop), crop.device)
        to_view = inverse(to_picture)
        image = warped(crop, to_view)
        content = visible(
            crop.new_ones(crop[:, 0].shape, dtype=torch.bool) if valid is None else valid, to_view
        )

        # 3. The teacher sees them clean, and its predictions are joined where they show the same.
        taught: Output = self.teacher(image)
        seen = resize(taught.logits.float(), (image.shape[-2], image.shape[-1])).softmax(1)
        self._follow_classes(seen)
        joined = joined_views(zeroed(seen, content), to_picture, to_view, views=self.settings.views)

        # 4. The student learns the labels of which they are sure, for their class, with changed colours.
        label, weight = self._label(joined, content)
        shown = image if self.augment is None else self.augment(image)
        yield View("target", shown, label, weight, loss=self._loss)

    def _several(self, part: Tensor | None) -> Tensor | None:
        return None if part is None else part.repeat_interleave(self.settings.views, 0)

    def _draw(self, count: int, device: torch.device) -> Tensor:
        """From places in the crop to places in its views."""
        low, high = self.settings.zoom
        zoom = low + (high - low) * torch.rand(count, device=device)
        mirrored = torch.rand(count, device=device) < self.settings.flip
        is_first = torch.arange(count, device=device) % self.settings.views == 0
        return zoomed(zoom.masked_fill(is_first, 1.0), mirrored & ~is_first)

    @torch.no_grad()
    def _follow_classes(self, probability: Tensor) -> None:
        mean = mean_over_ranks(probability.mean((0, 2, 3)))
        settings = self.settings
        self.prior.copy_(
            moved_prior(self.prior, mean, start=settings.scale, momentum=settings.prior_momentum)
        )

    def _label(self, probability: Tensor, content: Tensor) -> tuple[Tensor, Tensor]:
        """Labels, and each pixel's weight by confidence and by its class's rarity."""
        settings = self.settings
        label, sure = adaptive_label(
            probability, self.prior, scale=settings.scale, lowest=settings.lowest, share=settings.highest
        )
        label = label.masked_fill(~content, IGNORE)
        if settings.confidence == "batch":
            sure = mean_over_ranks(sure.mean(0, keepdim=True)).expand_as(sure)
        return label, sure * rarity(label, self.prior, exponent=settings.focus)

    def _loss(self, logits: Tensor, label: Tensor) -> Tensor:
        return self.settings.share * cross_entropy(logits, label)
