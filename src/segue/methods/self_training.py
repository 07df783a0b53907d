"""Self-training with a teacher, from DACS to STCT: the teacher labels the target, the student learns it altered."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import torch
from pydantic import model_validator
from torch import Tensor, nn

from segue.methods.context import Context, Preparation, Trained
from segue.methods.coordination import Coordination, CoordinationSettings
from segue.methods.hybrid import HybridAttentionSettings
from segue.methods.large_teacher import CollaborationSettings, load_teacher
from segue.methods.masking import MaskSettings
from segue.methods.method import Method, MethodSettings, Term
from segue.methods.mixing import AugmentSettings, ClassMix
from segue.methods.teacher import EmaTeacher, Teacher
from segue.ops import quality
from segue.ops.resize import resize
from segue.ranks import mean_over_ranks
from segue.settings import MarginSettings, Share
from segue.types import Batch, Joint, Margins, MeanOver, Output, View


class SelfTrainingSettings(MethodSettings):
    """DACS, DAFormer and what is built on them."""

    name: Literal["self_training"] = "self_training"
    has_teacher: ClassVar[bool] = True
    teacher: Literal["average", "large"] = (
        "average"  # who labels the target: the student's average, or a model
    )
    teacher_model: Path | None = None  # of a large teacher: its run or model folder
    collaborate: CollaborationSettings | None = None  # None: a large teacher stays as it is
    soft: bool = False  # learn the teacher's probabilities instead of its label
    momentum: Share = 0.999  # alpha of the teacher's moving average
    teacher_statistics: Literal["batch", "average"] = "batch"
    copies_first: bool = False  # after the first update the average is the student itself (DACS)
    source_mean: Literal["pixels", "labelled"] = "pixels"  # what the source's loss is averaged over
    threshold: Share | None = (
        0.968  # tau: confidence that counts towards quality; None trusts the teacher wholly
    )
    mix: Literal["class_mix"] | None = "class_mix"
    class_pool: Literal["batch", "image"] = "batch"
    augment: AugmentSettings | None = AugmentSettings()
    coordinate: CoordinationSettings | None = None
    pair: HybridAttentionSettings | None = None
    mask: MaskSettings | None = None
    margins: MarginSettings | None = None  # of the crop

    @model_validator(mode="after")
    def _pieces_fit(self) -> "SelfTrainingSettings":
        if self.teacher == "average" and (self.teacher_model or self.collaborate):
            raise ValueError("teacher_model and collaborate are for teacher: large")
        if self.soft and self.mask is not None and self.mask.pictures == "both":
            raise ValueError("soft does not go with mask.pictures: both")
        return self

    def build(self, context: Context, terms: Mapping[str, Term]) -> "SelfTraining":
        """Around the student, with its teacher."""
        augment = None if self.augment is None else self.augment.build(context)
        calibrate = (term.calibrated for term in terms.values() if term.calibrates)
        return SelfTraining(
            context.student,
            self._teacher(context, terms),
            terms,
            threshold=self.threshold,
            mix=None if self.mix is None else ClassMix(self.class_pool),
            augment=augment,
            calibrate=next(calibrate, None),
            coordinate=None if self.coordinate is None else self.coordinate.build(context),
            pair=None if self.pair is None else self.pair.build(context),
            mask=None if self.mask is None else self.mask.build(augment),
            soft=self.soft,
            margins=None if self.margins is None else Margins(**self.margins.model_dump()),
            source_mean=self.source_mean,
        )

    def _teacher(self, context: Context, terms: Mapping[str, Term]) -> Teacher:
        if self.teacher == "large":
            compares = any(term.compares_embeddings for term in terms.values())
            return load_teacher(context, self.teacher_model, self.collaborate, compares_embeddings=compares)
        return EmaTeacher(
            context.student,
            momentum=self.momentum,
            statistics=self.teacher_statistics,
            copies_first=self.copies_first,
        )


class SelfTraining(Method):
    """The student learns the source, and the target as its teacher sees it.

    Source: DACS (Tranheden et al., WACV 2021), algorithm 1; DAFormer (Hoyer et al., CVPR 2022), section 3.1; MIC
    (Hoyer et al., CVPR 2023), section 3.2; STCT + MHA, section 3. With different arguments this is any of them.

    Args:
        student: The network that is trained.
        teacher: Who labels the target.
        terms: Additional losses.
        threshold: Confidence above which a pixel counts towards the teacher's quality; None trusts it wholly.
        mix: Makes one view of a source and a target view; None to show the target as it is.
        augment: Changes the colours of what the student sees of the target; None for no change.
        calibrate: Corrects the pseudo-label by something else that the teacher's output says; None leaves it.
        coordinate: How far each target picture is trusted, known after the student's pass; None for no such
            weight.
        pair: Makes one pass of the source, the target and the shown target view; None for two passes.
        mask: Makes the masked view of a source and an unmixed target view; None for no such view.
        soft: Whether the student learns the teacher's probabilities instead of its label.
        margins: Where the teacher is distrusted.
        source_mean: What the source's loss is averaged over, see :class:`segue.types.View`.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: Teacher,
        terms: Mapping[str, Term] | None = None,
        *,
        threshold: float | None = 0.968,
        mix: Callable[[View, View], View] | None = None,
        augment: Callable[[Tensor], Tensor] | None = None,
        calibrate: Callable[[Output, Tensor], Tensor] | None = None,
        coordinate: Coordination | None = None,
        pair: Callable[[View, View, View], Joint] | None = None,
        mask: Callable[[View, View], View] | None = None,
        soft: bool = False,
        margins: Margins | None = None,
        source_mean: MeanOver = "pixels",
    ) -> None:
        names = ("source", "target", "masked") if mask else ("source", "target")
        super().__init__(student, terms, view_names=names)
        self.teacher = teacher
        self.threshold = threshold
        self.mix = mix
        self.augment = augment
        self.calibrate = calibrate
        self.coordinate = coordinate
        self.pair = pair
        self.mask = mask
        self.soft = soft
        self.margins = margins or Margins()
        self.source_mean: MeanOver = source_mean

    def views(self, batch: Batch, step: int) -> Iterator[View | Joint]:
        """One step of the algorithm.

        Yields:
            The source view and the target view, or both together, and the masked view if there is one.
        """
        assert batch.target is not None, "the engine gives self-training a target loader"

        # 1. The student learns the source; with a pair, in one pass with the target.
        source = View("source", batch.source.image, batch.source.label, mean_over=self.source_mean)
        if self.pair is None:
            yield source

        # 2. The teacher labels the target, and is trusted as far as it is confident.
        taught: Output = self.teacher(batch.target.image)
        label, confidence, soft = self._label(taught, batch.target.image)
        if self.calibrate is not None:
            label = self.calibrate(taught, label)
        weight = self._weight(self._quality(confidence), batch.target.valid)
        target = View("target", batch.target.image, label, weight, taught, soft=soft)

        # 3. The student learns it with source classes pasted over it and its colours changed.
        shown = self.mix(source, target) if self.mix is not None else replace(target)
        if self.augment is not None:
            shown.image = self.augment(shown.image)
        if self.coordinate is not None:
            shown.trust = self.coordinate.at(step)
        yield shown if self.pair is None else self.pair(source, target, shown)

        # 4. It learns to name what is hidden, too.
        if self.mask is not None:
            yield self.mask(source, target)

    def after_step(self, batch: Batch, step: int) -> None:
        """The teacher follows the student."""
        super().after_step(batch, step)
        self.teacher.follow(self.student, batch, step, self.held)

    def prepare(self, preparation: Preparation) -> None:
        """A large teacher's layers may have to be measured."""
        self.teacher.prepare(preparation)

    def trained(self) -> dict[str, Trained]:
        """The student, and a teacher that learnt from it."""
        teacher = self.teacher.trained()
        return super().trained() | ({} if teacher is None else {"teacher": teacher})

    def scored(self, network: Literal["student", "teacher"]) -> nn.Module:
        """The student, or the teacher if it learns."""
        learner = self.teacher.learner() if network == "teacher" else None
        return super().scored(network) if learner is None else learner

    def _label(self, taught: Output, image: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """The pseudo-label, the teacher's confidence, and its probabilities if they are to be learnt."""
        logits = resize(taught.logits.float(), (image.shape[-2], image.shape[-1]))
        label, confidence = quality.label_and_confidence(logits)
        return label, confidence, logits.softmax(1) if self.soft else None

    def _quality(self, confidence: Tensor) -> Tensor:
        """How far the teacher is trusted at every pixel: one share for the batch, or everywhere."""
        if self.threshold is None:
            return torch.ones_like(confidence)
        return mean_over_ranks(quality.confident_share(confidence, self.threshold)).expand(confidence.shape)

    def _weight(self, trusted: Tensor, valid: Tensor | None) -> Tensor:
        margins = self.margins
        weight = quality.without_margins(
            trusted, top=margins.top, bottom=margins.bottom, left=margins.left, right=margins.right
        )
        return weight if valid is None else torch.where(valid, weight, torch.zeros_like(weight))
