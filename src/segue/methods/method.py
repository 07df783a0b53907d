"""The two nouns of every algorithm here: a method yields views, a term is one more loss on a view.

Each is built by settings of its own, which stand in its file: a method's are a :class:`MethodSettings`, a term's a
:class:`TermSettings`. The engine asks these, and never knows a piece by its name.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from segue.methods.context import Context, Preparation, Trained
from segue.methods.stages import Stages
from segue.models.batch_norms import RunningStatistics, batch_norms, statistics_kept
from segue.models.segmenter import segmentation_loss
from segue.settings import Settings
from segue.types import IGNORE, Batch, Joint, Output, View


@dataclass(frozen=True)
class Optimisation:
    """Parameters that learn by an optimiser of their own, as a discriminator's do.

    Attributes:
        parameters: They leave the student's optimiser.
        kind: "adam", "adamw" or "sgd".
        lr: The full rate.
        options: Further arguments of torch's optimiser.
        schedule: From the step and the length of the run to the factor on the rate; it stays full by default.
    """

    parameters: Sequence[nn.Parameter]
    kind: Literal["adam", "adamw", "sgd"]
    lr: float
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    schedule: Callable[[int, int], float] = lambda step, steps: 1.0


class Term(nn.Module):
    """An additional loss on a picture that the student has just seen.

    Subclasses say in ``view_names`` on which views they are called.

    Attributes:
        step: Updates so far.
        compares_embeddings: Whether the embeddings of student and teacher have to be of the same width.
        calibrates: Whether it corrects pseudo-labels, see :meth:`calibrated`.
    """

    view_names: tuple[str, ...] = ()
    step: int = 0
    compares_embeddings: ClassVar[bool] = False
    calibrates: ClassVar[bool] = False

    def forward(self, network: nn.Module, view: View, output: Output) -> dict[str, Tensor]:
        """Named scalar losses, already multiplied by their share.

        Args:
            network: The student.
            view: What the student saw.
            output: What the student made of it.
        """
        raise NotImplementedError

    def after_step(self, batch: Batch, step: int) -> None:
        """Called once after the optimiser's update; most terms have nothing to do."""

    def calibrated(self, taught: Output, label: Tensor) -> Tensor:
        """A better pseudo-label (B,H,W), given the teacher's output and its own; the same from most terms."""
        return label

    def optimisations(self) -> dict[str, Optimisation]:
        """By name, what of the term does not learn by the student's optimiser; most terms have nothing of their own."""
        return {}


class TermSettings(Settings):
    """The settings of a term, and how it is built."""

    def check(self, method: "MethodSettings") -> None:
        """See that the term goes with a method.

        Raises:
            ValueError: If it does not.
        """

    def build(self, context: Context) -> Term:
        """The term.

        Raises:
            ValueError: If it does not fit the run.
            OSError: If a file that it needs is missing.
        """
        raise NotImplementedError


class Method(nn.Module):
    """An adaptation algorithm: one batch in, a sequence of views to train the student on out.

    Teacher, banks and discriminators are submodules and buffers, so that a state dict holds everything that
    training changes.

    Args:
        student: The network that is trained.
        terms: Additional losses by name.
        view_names: The views that it yields, in their order.

    Attributes:
        held: 1 from the first step on in which something was not finite, and nobody may follow the student; a
            scalar of the engine's. None if nobody watches.

    Raises:
        ValueError: If a term asks for a view that the method never yields.
    """

    held: Tensor | None = None

    def __init__(
        self,
        student: nn.Module,
        terms: Mapping[str, Term] | None = None,
        *,
        view_names: tuple[str, ...],
    ) -> None:
        super().__init__()
        self.view_names = view_names
        self.student = student
        self.terms = nn.ModuleDict(dict(terms or {}))
        self.source_statistics: RunningStatistics | None = None
        self._norms = batch_norms(student)
        for name, term in (terms or {}).items():
            strange = [view for view in term.view_names if view not in self.view_names]
            if strange:
                raise ValueError(
                    f"term {name!r} asks for views {strange}; {type(self).__name__} yields {list(self.view_names)}"
                )

    def views(self, batch: Batch, step: int) -> Iterator[View | Joint]:
        """The paper's algorithm, top to bottom. Code after a ``yield`` runs after that view's backward pass.

        Args:
            batch: Labelled source and unlabelled target pictures.
            step: The number of optimiser updates so far.

        Yields:
            What the student is to be trained on next.
        """
        raise NotImplementedError

    def begin(self, step: int) -> None:
        """Called once before the views of a step: terms are told which it is."""
        for term in self._own_terms():
            term.step = step

    def after_step(self, batch: Batch, step: int) -> None:
        """Called once after the optimiser's update of this step: the teacher follows the student."""
        for term in self._own_terms():
            term.after_step(batch, step)

    def forward(self, seen: View | Joint) -> dict[str, Tensor]:
        """Train the student on what was yielded: one pass, the supervised losses, the terms of these views.

        Returns:
            Losses named ``view/loss``, already weighted: their sum is what to minimise.

        Raises:
            ValueError: If a view has neither a label nor a term, so that nothing would be learnt from it.
        """
        views = seen.views if isinstance(seen, Joint) else [seen]
        outputs = self._see(seen)
        losses: dict[str, Tensor] = {}
        for view in views:
            # Terms may decode the view once more, so they are in it, too.
            with self._moving(view):
                output = next(outputs)
                _settle_trust(view, output)
                found = self._losses(view, output)
            if not found:
                raise ValueError(
                    f"view {view.name!r} has neither a label nor a term: nothing can be learnt from it"
                )
            losses |= {f"{view.name}/{name}": loss for name, loss in found.items()}
        return losses

    def optimisations(self) -> dict[str, Optimisation]:
        """By name, what does not learn by the student's optimiser: what the terms have, unless a method has more."""
        return {
            f"{name}.{own}": one
            for name, term in self.terms.named_children()
            for own, one in cast(Term, term).optimisations().items()
        }

    def prepare(self, preparation: Preparation) -> None:
        """Called once before the first step, also of a run that is taken up; most methods have nothing to prepare."""

    def trained(self) -> dict[str, Trained]:
        """The networks that are left behind, by the folder that each is saved in; "model" is the run's result."""
        return {"model": Trained(self.student)}

    def scored(self, network: Literal["student", "teacher"]) -> nn.Module:
        """The network that is reported.

        Raises:
            ValueError: If there is no such network.
        """
        if network == "student":
            return self.student
        raise ValueError("evaluation.network=teacher: this recipe has no teacher that learns; use student")

    def separate_statistics(self) -> None:
        """From now on source views move running batch statistics of their own: the student's are the target's alone.

        Source: domain-specific batch normalisation (Chang et al., CVPR 2019), section 3.2, with one scale and shift for
        both domains.
        """
        self.source_statistics = RunningStatistics(self._norms)

    def statistics_of(self, domain: Literal["source", "target"]) -> AbstractContextManager[None]:
        """Within, the student uses and moves the running batch statistics of a domain, where it has its own."""
        if domain == "target" or self.source_statistics is None:
            return nullcontext()
        return self.source_statistics.lent_to(self._norms)

    def _moving(self, view: View) -> AbstractContextManager[None]:
        if not view.moves_statistics:
            return statistics_kept(self._norms)
        return self.statistics_of("source" if view.name == "source" else "target")

    def _see(self, seen: View | Joint) -> Iterator[Output]:
        """The output of each view in turn, made when it is asked for."""
        if isinstance(seen, Joint):
            together = cast(Callable[..., Iterator[Output]], self.student.together)
            yield from together([view.image for view in seen.views], seen.groups, seen.rules)
        else:
            yield self.student(seen.image)

    def _losses(self, view: View, output: Output) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        if view.label is not None:
            losses["segmentation"] = segmentation_loss(output, view)
        for term in self._own_terms():
            if view.name in term.view_names:
                losses |= term(self.student, view, output)
        return losses

    def _own_terms(self) -> list[Term]:
        return [cast(Term, term) for term in self.terms.children()]


@dataclass(frozen=True)
class Reading:
    """What a method wants to be read of the two domains.

    Attributes:
        target: Whether it looks at target pictures.
        labels: The folder of offline labels of the target's pictures; None for none.
        soft: Whether the probabilities that are stored beside those labels are learnt.
        source_share: The share of the source's pictures that come in common batches with the target's; None for
            batches of their own.
        mined: Classes around whose offline labels target crops are cut.
        mine_chance: How often they are.
    """

    target: bool = True
    labels: Path | None = None
    soft: bool = False
    source_share: float | None = None
    mined: Sequence[str] = ()
    mine_chance: float = 0.0


class MethodSettings(Settings):
    """The settings of a method, how it is built, and what it needs of a run."""

    name: Any
    """What settings files call it: a literal of each method's own."""
    has_teacher: ClassVar[bool] = False
    """Whether the target's view carries what a teacher says of it."""
    shows_domains_apart: ClassVar[bool] = True
    """Whether each of its views shows one domain, so that batch statistics of either can be kept."""

    @property
    def deals_source(self) -> bool:
        """Whether each picture of a part of the source is learnt equally often, here or in one of the stages."""
        return False

    def reading(self, recipe: str) -> Reading:
        """What is to be read beside the source's pictures and labels.

        Raises:
            ValueError: If the settings do not say where it is.
        """
        return Reading()

    def build(self, context: Context, terms: Mapping[str, Term]) -> Method:
        """The method around the context's student.

        Raises:
            ValueError: If it does not fit the run.
            OSError: If a file that it needs is missing.
        """
        raise NotImplementedError

    def carry_out(self, stages: Stages) -> dict[str, Any] | None:
        """The whole run: one training, unless the method is made of several.

        Returns:
            The scores of what the run made; None without labelled pictures.
        """
        return stages.train()


def _settle_trust(view: View, output: Output) -> None:
    """Multiply the trust per image, known only now, into the weight that every loss and term sees."""
    if view.trust is None or view.label is None:
        return
    with torch.no_grad():
        counted = view.label if view.weight is None else view.label.masked_fill(view.weight == 0, IGNORE)
        trust = view.trust(output.logits.detach(), counted)[:, None, None]
        view.weight = trust.expand(view.label.shape) if view.weight is None else view.weight * trust
    view.trust = None
