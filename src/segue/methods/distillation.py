"""ProDA's last stages: a student that begins again learns the last one's labels and probabilities."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Literal

from torch import Tensor

from segue.methods.context import Context
from segue.methods.method import Method, MethodSettings, Reading, Term
from segue.methods.mixing import AugmentSettings
from segue.methods.strong_view import StrongViewSettings
from segue.methods.symmetric import SymmetricSettings
from segue.methods.teachers.large import LargeSettings
from segue.ops.losses import divergence
from segue.ops.resize import resize
from segue.settings import NotNegative
from segue.types import IGNORE, Batch, MeanOver, Output, View


class DistillationSettings(MethodSettings):
    """A frozen model's labels are learnt on changed pictures, its probabilities on unchanged ones."""

    name: Literal["distillation"] = "distillation"
    labels_target: ClassVar[bool] = True
    teacher: LargeSettings = LargeSettings()  # the model that made the labels
    labels: Path | None = None  # folder of its labels of the target
    share: NotNegative = 1.0  # of the divergence from its probabilities
    symmetric: SymmetricSettings = SymmetricSettings(share=1.0, reverse_share=0.0)
    strong: StrongViewSettings = StrongViewSettings()
    source_mean: MeanOver = "labelled"  # what the source's loss is averaged over

    @property
    def colours(self) -> AugmentSettings | None:
        """Those of the strongly changed view."""
        return self.strong.augment

    def reading(self, recipe: str) -> Reading:
        """Read the target with its labels."""
        if self.labels is None:
            raise ValueError(
                f"recipe {recipe} distils a model's labels: name their folder with --set method.labels=DIR"
            )
        return Reading(labels=self.labels)

    def build(self, context: Context, terms: Mapping[str, Term]) -> "Distillation":
        """Build the method around the student, with its teacher, which is checked."""
        return Distillation(self, context, terms)


class Distillation(Method):
    """The student learns the source, its teacher's probabilities, and the labels that its teacher was sure of.

    Source: ProDA (Zhang et al., CVPR 2021), section 3.4.

    Note:
        The official code gives probabilities to a divergence that expects their logarithms; here it is the divergence.
        As there, it is a mean over classes, too.
    """

    def __init__(self, settings: DistillationSettings, context: Context, terms: Mapping[str, Term]) -> None:
        super().__init__(context.student, terms, view_names=("source", "target", "altered"))
        self.settings = settings
        self.teacher = settings.teacher.build(context, terms)
        self.strong = settings.strong.build(context)

    def views(self, batch: Batch, step: int) -> Iterator[View]:
        """Yield the source, the target as the teacher sees it, and the target strongly changed."""
        target = batch.target
        assert target is not None and target.offline is not None, "the engine gives offline labels"
        yield View("source", batch.source.image, batch.source.label, mean_over=self.settings.source_mean)

        taught: Output = self.teacher(target.image)  # pyright: ignore[reportAssignmentType]
        size = (target.image.shape[-2], target.image.shape[-1])
        told = resize(taught.logits.float(), size).softmax(1)

        def apart(logits: Tensor, label: Tensor) -> Tensor:
            return self.settings.share * divergence(logits, told)

        yield View("target", target.image, told.argmax(1), target.weight, taught, loss=apart)

        seen = self.strong(target.image)
        moved = seen.maps(target.offline[:, None].float())[:, 0].long()
        label = moved.masked_fill(~seen.sees(target.valid), IGNORE)
        yield View("altered", seen.image, label, loss=self.settings.symmetric.loss, mean_over="labelled")
