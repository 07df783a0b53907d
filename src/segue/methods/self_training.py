"""Self-training, from DACS to STCT: a teacher labels the target, and the student learns an altered view of it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

import torch
from pydantic import model_validator
from torch import Tensor

from segue.methods.class_weights import ClassWeights, ClassWeightSettings, Percentile, balance
from segue.methods.context import Context
from segue.methods.coordination import CoordinationSettings
from segue.methods.depth_guidance import DepthGuidanceSettings
from segue.methods.hybrid import HybridAttentionSettings
from segue.methods.masking import MaskSettings
from segue.methods.method import MethodSettings, Term
from segue.methods.mixing import AugmentSettings, ClassMix
from segue.methods.style import StyleSettings
from segue.methods.taught import Taught
from segue.methods.teacher import TeacherSettings
from segue.methods.teachers import TEACHERS
from segue.methods.teachers.average import AverageSettings
from segue.ops import quality
from segue.ops.resize import resize
from segue.ranks import mean_over_ranks
from segue.settings import Margins, Share, one_of
from segue.types import Batch, Joint, MeanOver, Output, View

if TYPE_CHECKING:
    AnyTeacher: TypeAlias = TeacherSettings
else:
    AnyTeacher = one_of(TEACHERS)


class SelfTrainingSettings(MethodSettings):
    """DACS, DAFormer and what is built on them."""

    name: Literal["self_training"] = "self_training"
    has_teacher: ClassVar[bool] = True
    labels_target: ClassVar[bool] = True
    names_pictures: ClassVar[bool] = True
    teacher: AnyTeacher = AverageSettings()  # who labels the target
    soft: bool = False  # learn the teacher's probabilities instead of its label
    source_mean: MeanOver = "pixels"  # average the source's loss over all pixels or over labelled ones
    style: StyleSettings | None = None  # show the source with the target's low frequencies, as FDA does
    # tau: the target is weighed by the share of pixels of at least this confidence; None: always by 1.
    threshold: Share | None = 0.968
    mix: Literal["class_mix"] | None = "class_mix"  # how source and target pictures are mixed
    class_pool: Literal["batch", "image"] = "batch"  # draw a picture's classes from the batch or itself
    augment: AugmentSettings | None = AugmentSettings()
    coordinate: CoordinationSettings | None = None
    depth: DepthGuidanceSettings | None = None
    pair: HybridAttentionSettings | None = None
    mask: MaskSettings | None = None
    margins: Margins | None = None  # borders of the crop in which the teacher is not trusted
    weights: ClassWeightSettings | None = None  # of the classes, in every view
    percentile: Percentile = 0.0  # of a view's loss, below which pixels are left out

    @model_validator(mode="after")
    def _pieces_fit(self) -> "SelfTrainingSettings":
        if self.soft and self.mask is not None and self.mask.pictures == "both":
            raise ValueError("soft does not go with mask.pictures: both")
        if self.depth is not None and (self.mask is not None or self.pair is not None):
            raise ValueError("depth is learnt on a source and a target view: set mask=null and pair=null")
        return self

    @property
    def of_pixels(self) -> list[str]:
        """Mixing, margins, hybrid attention, and depth."""
        return [name for name in ("mix", "margins", "pair", "depth") if getattr(self, name) is not None]

    @property
    def learns_depth(self) -> bool:
        """If it is to guide the labels."""
        return self.depth is not None

    @property
    def colours(self) -> AugmentSettings | None:
        """Those of ``augment``."""
        return self.augment

    def build(self, context: Context, terms: Mapping[str, Term]) -> "SelfTraining":
        """Build the method around the student, with its teacher."""
        if self.depth is not None:
            terms = {**terms, "depth": self.depth.term()}
        return SelfTraining(self, context, terms)


class SelfTraining(Taught):
    """The student learns the source, and the target as its teacher labels it.

    Source: DACS (Tranheden et al., WACV 2021), algorithm 1; DAFormer (Hoyer et al., CVPR 2022), section 3.1; MIC
    (Hoyer et al., CVPR 2023), section 3.2; STCT + MHA, section 3; CorDA (Wang et al., ICCV 2021). Which of
    them it is depends on the settings.

    Attributes:
        style: Gives source pictures the look of target pictures; None leaves them as they are.
        mix: Makes one view of a source and a target view; None to show the target as it is.
        augment: Changes the colours of the target that the student sees; None for no change.
        calibrate: Corrects the pseudo-label by what else the teacher's output says; None leaves it alone.
        coordinate: How far each target picture is trusted, known after the student's pass; None for no such weight.
        depth: Says which of the teacher's predictions counts, and how far mixed pixels do; None for neither.
        pair: Joins the source view and the target view as shown into one pass; None for two passes.
        mask: Makes the masked view of a source and an unmixed target view; None for no such view.
        weights: Of the classes of a view's labels; None for 1.
    """

    style: Callable[[Tensor, Tensor], Tensor] | None
    mix: Callable[[View, View], View] | None
    augment: Callable[[Tensor], Tensor] | None
    calibrate: Callable[[Output, Tensor], Tensor] | None
    pair: Callable[[View, View, View], Joint] | None
    mask: Callable[[View, View], View] | None
    weights: ClassWeights | None

    def __init__(self, settings: SelfTrainingSettings, context: Context, terms: Mapping[str, Term]) -> None:
        names = ("source", "target", "masked") if settings.mask else ("source", "target")
        super().__init__(context.student, terms, view_names=names)
        self.settings = settings
        self.teacher = settings.teacher.build(context, terms)
        self.style = settings.style and settings.style.build(context)
        self.mix = ClassMix(settings.class_pool) if settings.mix else None
        self.augment = settings.augment and settings.augment.build(context)
        self.calibrate = next((term.calibrated for term in terms.values() if term.calibrates), None)
        self.coordinate = settings.coordinate and settings.coordinate.build(context)
        self.depth = settings.depth and settings.depth.build(context)
        self.pair = settings.pair and settings.pair.build(context)
        self.mask = settings.mask and settings.mask.build(self.augment)
        self.margins = settings.margins or Margins()
        self.weights = settings.weights and settings.weights.build(len(context.classes))
        self.balance = partial(balance, weights=self.weights, percentile=settings.percentile)

    def views(self, batch: Batch, step: int) -> Iterator[View | Joint]:
        """Yield the source and the target view, or both in one pass, then the masked view if there is one."""
        assert batch.target is not None, "the engine gives self-training a target loader"

        # 1. The student learns the source; with a pair, in one pass with the target.
        image = batch.source.image
        if self.style is not None:
            image = self.style(image, batch.target.image)
        source = View("source", image, batch.source.label, mean_over=self.settings.source_mean)
        source.depth = batch.source.depth
        self.balance(source)
        if self.pair is None:
            yield source

        # 2. The teacher labels the target, and is trusted as far as it is confident.
        taught: Output = self.teacher(batch.target.image)
        if self.depth is not None:
            taught = self.depth.taught(taught, step)
        label, confidence, soft = self._label(taught, batch.source.label)
        if self.calibrate is not None:
            label = self.calibrate(taught, label)
        weight = self._weight(self._quality(confidence), batch.target.valid)
        target = View(
            "target", batch.target.image, label, weight, taught, soft=soft, depth=batch.target.depth
        )

        # 3. The student learns it with source classes pasted over it and its colours changed.
        shown = self.mix(source, target) if self.mix is not None else replace(target)
        if self.augment is not None:
            shown.image = self.augment(shown.image)
        if self.coordinate is not None:
            shown.trust = self.coordinate.at(step)
        if self.depth is not None:
            shown.pixel_trust = self.depth.trust
        self.balance(shown)
        yield shown if self.pair is None else self.pair(source, target, shown)

        # 4. It learns to name what is hidden from it, too.
        if self.mask is not None:
            masked = self.mask(source, target)
            self.balance(masked)
            yield masked

    def _label(self, taught: Output, like: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """The pseudo-label, on the grid of another label, the teacher's confidence, and its probabilities if wanted."""
        logits = resize(taught.logits.float(), (like.shape[-2], like.shape[-1]))
        label, confidence = quality.label_and_confidence(logits)
        return label, confidence, logits.softmax(1) if self.settings.soft else None

    def _quality(self, confidence: Tensor) -> Tensor:
        """How far the teacher is trusted at every pixel (B,H,W): one value for the batch of all processes."""
        threshold = self.settings.threshold
        if threshold is None:
            return torch.ones_like(confidence)
        return mean_over_ranks(quality.confident_share(confidence, threshold)).expand(confidence.shape)

    def _weight(self, trusted: Tensor, valid: Tensor | None) -> Tensor:
        margins = self.margins
        weight = quality.without_margins(
            trusted, top=margins.top, bottom=margins.bottom, left=margins.left, right=margins.right
        )
        return weight if valid is None else torch.where(valid, weight, torch.zeros_like(weight))
