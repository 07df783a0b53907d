"""The source with its labels, the target as it is: what is learnt of the target, terms alone say."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from torch import Tensor

from segue.methods.context import Context
from segue.methods.method import Method, MethodSettings, Term
from segue.ops.losses import cross_entropy
from segue.settings import Positive
from segue.types import Batch, Joint, MeanOver, View


class AlignedSettings(MethodSettings):
    """Methods that align the two domains' predictions by their entropy or by discriminators."""

    name: Literal["aligned"] = "aligned"
    source_mean: MeanOver = "labelled"  # what the source's loss is averaged over
    temperature: Positive = 1.0  # T by which logits are divided in the source's loss (FADA: 1.8)
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

    def views(self, batch: Batch, step: int) -> Iterator[View | Joint]:
        """One step.

        Yields:
            The source view and the target view, in one pass if they are together; the latter's weight is 0 where a
            picture has no content.
        """
        assert batch.target is not None, "the engine gives a target loader"
        loss = None if self.settings.temperature == 1 else self._tempered
        source = View(
            "source", batch.source.image, batch.source.label, loss=loss, mean_over=self.settings.source_mean
        )
        valid = batch.target.valid
        target = View("target", batch.target.image, weight=None if valid is None else valid.float())
        if self.settings.together:
            yield Joint([source, target], rules=None)
        else:
            yield source
            yield target

    def _tempered(self, logits: Tensor, label: Tensor) -> Tensor:
        return cross_entropy(logits / self.settings.temperature, label)
