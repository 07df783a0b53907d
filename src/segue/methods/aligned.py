"""The source with its labels, the target as it is: what is learnt of the target, terms alone say."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from pydantic import model_validator
from torch import Tensor

from segue.methods.class_weights import ClassWeightSettings, Percentile, balance
from segue.methods.context import Context
from segue.methods.method import Method, MethodSettings, Term
from segue.ops.losses import cross_entropy
from segue.settings import Positive
from segue.types import Batch, Joint, MeanOver, Source, View


class AlignedSettings(MethodSettings):
    """Methods that align the two domains' predictions by their entropy or by discriminators."""

    name: Literal["aligned"] = "aligned"
    source_mean: MeanOver = "labelled"  # what the source's loss is averaged over
    temperature: Positive = 1.0  # T by which logits are divided in the source's loss (FADA: 1.8)
    weights: ClassWeightSettings | None = None  # of the source's classes
    percentile: Percentile = 0.0  # of the source's loss, below which pixels are left out

    @model_validator(mode="after")
    def _one_kind_of_loss(self) -> "AlignedSettings":
        if self.temperature != 1 and (self.weights is not None or self.percentile):
            raise ValueError("temperature goes with neither weights nor percentile: set one of them alone")
        return self

    together: bool = False  # both domains in one batch, by which batch norms normalise, as in CDAN's code

    names_pictures: ClassVar[bool] = True

    @property
    def joins_domains(self) -> bool:
        """As ``together`` says."""
        return self.together

    def build(self, context: Context, terms: Mapping[str, Term]) -> "Aligned":
        """Around the student.

        Raises:
            ValueError: If no term looks at the target.
        """
        if not any("target" in term.view_names for term in terms.values()):
            raise ValueError(
                "method aligned learns the target by terms alone, and none looks at it: set terms.entropy={},"
                " terms.adversarial={}, or method.name=source_only"
            )
        return Aligned(self, context, terms)


class Aligned(Method):
    """The student learns the source's labels, and sees the target unaltered, without any label.

    Source: what AdaptSegNet (Tsai et al., CVPR 2018) and ADVENT (Vu et al., CVPR 2019) share.
    """

    def __init__(self, settings: AlignedSettings, context: Context, terms: Mapping[str, Term]) -> None:
        super().__init__(context.student, terms, view_names=("source", "target"))
        self.settings = settings
        self.weights = None if settings.weights is None else settings.weights.build(len(context.classes))

    def views(self, batch: Batch, step: int) -> Iterator[View | Joint]:
        """One step.

        Yields:
            The source view and the target view, in one pass if they are together; the latter's weight is 0 where a
            picture has no content.
        """
        assert batch.target is not None, "the engine gives a target loader"
        source = self._source(batch.source)
        target = View("target", batch.target.image, weight=batch.target.weight)
        if self.settings.together:
            yield Joint([source, target], rules=None)
        else:
            yield source
            yield target

    def _source(self, source: Source) -> View:
        loss = None if self.settings.temperature == 1 else self._tempered
        view = View("source", source.image, source.label, loss=loss, mean_over=self.settings.source_mean)
        balance(view, self.weights, self.settings.percentile)
        return view

    def _tempered(self, logits: Tensor, label: Tensor) -> Tensor:
        return cross_entropy(logits / self.settings.temperature, label)
