"""Alignment with MIC's masked view: a teacher names the target, and the student names it from a part."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from torch import Tensor

from segue.methods.aligned import Aligned, AlignedSettings
from segue.methods.context import Context
from segue.methods.masking import MaskSettings
from segue.methods.method import Term
from segue.methods.mixing import AugmentSettings
from segue.methods.taught import Taught
from segue.methods.teacher import TeacherSettings
from segue.methods.teachers import TEACHERS
from segue.methods.teachers.average import AverageSettings
from segue.ops.quality import label_and_confidence
from segue.ops.resize import resize
from segue.settings import one_of
from segue.types import Batch, Joint, View

if TYPE_CHECKING:
    AnyTeacher: TypeAlias = TeacherSettings
else:
    AnyTeacher = one_of(TEACHERS)


class MaskedAlignmentSettings(AlignedSettings):
    """MIC on a method that has no teacher of its own."""

    name: Literal["masked_alignment"] = "masked_alignment"  # pyright: ignore[reportIncompatibleVariableOverride]
    has_teacher: ClassVar[bool] = False  # the target's own view carries neither its output nor its label
    teacher: AnyTeacher = AverageSettings(momentum=0.9)
    augment: AugmentSettings | None = AugmentSettings(
        strength=0.2, jitter_probability=0.8, blur_probability=0.5
    )
    mask: MaskSettings = MaskSettings(block=64)

    @property
    def colours(self) -> AugmentSettings | None:
        """Those of ``augment``."""
        return self.augment

    def build(self, context: Context, terms: Mapping[str, Term]) -> "MaskedAlignment":
        """Around the student; it raises what ``AlignedSettings.build`` raises."""
        super().build(context, terms)
        return MaskedAlignment(self, context, terms)


class MaskedAlignment(Taught, Aligned):
    """Alignment, and the student names masked target pictures as its teacher names whole ones.

    Each picture, or pixel, counts as much as the teacher is sure of it.

    Source: MIC (Hoyer et al., CVPR 2023), section 4.3 and its code for classification. There a second pass of
    sharpness-aware minimisation forgets the weight, and whether colours are changed is drawn once a run; here the
    weight holds in both passes, and changes are drawn every step.
    """

    def __init__(
        self, settings: MaskedAlignmentSettings, context: Context, terms: Mapping[str, Term]
    ) -> None:
        super().__init__(settings, context, terms)
        self.view_names = (*self.view_names, "masked")
        self.teacher = settings.teacher.build(context, terms)
        self.mask = settings.mask.build(settings.augment and settings.augment.build(context))

    def views(self, batch: Batch, step: int) -> Iterator[View | Joint]:
        """One step.

        Yields:
            What alignment yields, then the masked view of the target.
        """
        yield from super().views(batch, step)
        assert batch.target is not None, "the engine gives a target loader"
        label, certainty = self._named(batch.target.image, like=batch.source.label)
        if batch.target.valid is not None:
            certainty = certainty * batch.target.valid
        source = View("source", batch.source.image, batch.source.label)
        yield self.mask(source, View("target", batch.target.image, label, certainty))

    def _named(self, image: Tensor, *, like: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's label of the whole target, on the grid of another label, and its certainty."""
        logits = self.teacher(image).logits.float()
        return label_and_confidence(resize(logits, (like.shape[-2], like.shape[-1])))
