"""What every algorithm is made of: a method, which yields views, and terms, which are further losses on a view.

Each is built by settings in its own file, a :class:`MethodSettings` or a :class:`TermSettings`. The engine asks these,
and knows no piece by its name.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, cast

import torch
from torch import Tensor, nn

from segue.methods.context import Context, Preparation, Trained
from segue.methods.mixing import AugmentSettings
from segue.methods.stages import Stages
from segue.models.batch_norms import RunningStatistics, batch_norms, statistics_kept
from segue.models.segmenter import segmentation_loss
from segue.settings import Settings
from segue.types import IGNORE, Batch, Joint, Output, View


@dataclass(frozen=True)
class Optimisation:
    """Parameters that learn by an optimiser of their own, as a discriminator's do, instead of the student's.

    Attributes:
        lr: The rate before the schedule's factor.
        options: Further arguments of torch's optimiser.
        schedule: Turns the step and the length of the run into the factor on the rate; by default always 1.
    """

    parameters: Sequence[nn.Parameter]
    kind: Literal["adam", "adamw", "sgd"]
    lr: float
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    schedule: Callable[[int, int], float] = lambda step, steps: 1.0


class Term(nn.Module):
    """An additional loss on a picture that the student has just seen.

    Attributes:
        view_names: The views that it is called on.
        step: Updates so far.
        compares_embeddings: Whether the embeddings of student and teacher must be equally wide.
        calibrates: Whether it corrects pseudo-labels, see :meth:`calibrated`.
        is_smoothed: Whether it is part of the loss whose sharpness is lowered (``optim.sharpness``); an adversarial
            loss is not.
    """

    view_names: tuple[str, ...] = ()
    step: int = 0
    compares_embeddings: ClassVar[bool] = False
    calibrates: ClassVar[bool] = False
    is_smoothed: ClassVar[bool] = True

    def forward(self, network: nn.Module, view: View, output: Output) -> dict[str, Tensor]:
        """Named scalar losses, already multiplied by their share, on the output of ``network``, the student."""
        raise NotImplementedError

    def prepare(self, preparation: Preparation) -> None:
        """Called once before the first step, and again when a run is resumed; most terms have nothing to prepare."""

    def after_step(self, batch: Batch, step: int) -> None:
        """Called once after the optimiser's update; most terms have nothing to do."""

    def calibrated(self, taught: Output, label: Tensor) -> Tensor:
        """The pseudo-label (B,H,W), corrected by what else the teacher's output says; most terms leave it alone."""
        return label

    def optimisations(self) -> dict[str, Optimisation]:
        """By name, the parameters of the term that do not learn by the student's optimiser; most terms have none."""
        return {}


class TermSettings(Settings):
    """The settings of a term, and how it is built."""

    names_pictures: ClassVar[bool] = False
    """Whether it goes with pictures that have one class each."""

    def check(self, method: "MethodSettings") -> None:
        """Raise ``ValueError`` if the term does not go with the method."""

    def build(self, context: Context) -> Term:
        """Build the term; it may raise what ``MethodSettings.build`` raises."""
        raise NotImplementedError


class Method(nn.Module):
    """An adaptation algorithm, which turns a batch into a sequence of views to train the student on.

    Teachers, banks and discriminators are submodules and buffers, so that a state dict holds everything that
    training changes.


    Attributes:
        held: The engine's scalar flag: 1 from the first step on in which something was not finite, and then nothing
            may follow the student. None without an engine.
        is_ascending: Whether this pass only finds the direction in which the loss is sharpest (``optim.sharpness``).

    Raises:
        ValueError: If a term asks for a view that the method never yields.
    """

    held: Tensor | None = None
    is_ascending: bool = False

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
        """The paper's algorithm, top to bottom; ``step`` counts the updates so far.

        The student is trained on each view as it is yielded: code after a ``yield`` runs after that view's backward.
        """
        raise NotImplementedError

    def begin(self, step: int) -> None:
        """Called once before the views of a step, to tell the terms which step it is."""
        for term in self._own_terms():
            term.step = step

    def after_step(self, batch: Batch, step: int) -> None:
        """Called once after the optimiser's update of this step: the teacher follows the student."""
        for term in self._own_terms():
            term.after_step(batch, step)

    def forward(self, seen: View | Joint) -> dict[str, Tensor]:
        """Show the student what was yielded; returns weighted losses named ``view/loss``, whose sum is minimised.

        Raises:
            ValueError: If a view has neither a label nor a term, so that nothing would be learnt from it.
        """
        views = seen.views if isinstance(seen, Joint) else [seen]
        outputs = self._see(seen)
        losses: dict[str, Tensor] = {}
        for view in views:
            # Terms belong inside, too: they may decode the view once more and so move the head's statistics.
            with self._moving(view):
                output = next(outputs)
                _settle_trust(view, output)
                own = self._losses(view, output)
            if not own and not self.is_ascending:
                raise ValueError(
                    f"view {view.name!r} has neither a label nor a term: nothing can be learnt from it"
                )
            losses |= {f"{view.name}/{name}": loss for name, loss in own.items()}
        return losses

    def optimisations(self) -> dict[str, Optimisation]:
        """By name, the parameters that do not learn by the student's optimiser: those of terms, unless overridden."""
        return {
            f"{name}.{own}": one
            for name, term in self.terms.named_children()
            for own, one in cast(Term, term).optimisations().items()
        }

    def prepare(self, preparation: Preparation) -> None:
        """Called once before the first step, and again when a run is resumed: terms measure what they need."""
        for term in self._own_terms():
            term.prepare(preparation)

    def resting(self) -> Iterable[nn.Module]:
        """Parts that stay in evaluation mode while the rest trains."""
        return ()

    def train(self, mode: bool = True) -> Self:
        """Set the mode of everything but what rests."""
        super().train(mode)
        for part in self.resting():
            part.eval()
        return self

    def trained(self) -> dict[str, Trained]:
        """The networks to save after training, by folder; "model" is the run's result."""
        return {"model": Trained(self.student)}

    def scored(self, network: Literal["student", "teacher"]) -> nn.Module:
        """The network that is scored; ``ValueError`` if there is no such network."""
        if network == "student":
            return self.student
        raise ValueError("evaluation.network=teacher: this recipe has no teacher that learns; use student")

    def partner(self, network: Literal["student", "teacher"]) -> nn.Module | None:
        """The teacher of the student, or the student of the teacher; None if there is no such network to score."""
        try:
            return self.scored("teacher" if network == "student" else "student")
        except ValueError:
            return None

    def separate_statistics(self) -> None:
        """Give source views running batch statistics of their own, so that the student's are the target's alone.

        Source: domain-specific batch normalisation (Chang et al., CVPR 2019), section 3.2, with one scale and shift for
        both domains.
        """
        self.source_statistics = RunningStatistics(self._norms)

    def statistics_of(self, domain: Literal["source", "target"]) -> AbstractContextManager[None]:
        """A context in which the student uses and moves the running batch statistics of a domain, if it has its own."""
        if domain == "target" or self.source_statistics is None:
            return nullcontext()
        return self.source_statistics.lent_to(self._norms)

    def _moving(self, view: View) -> AbstractContextManager[None]:
        if not view.moves_statistics:
            return statistics_kept(self._norms)
        return self.statistics_of("source" if view.name == "source" else "target")

    def _see(self, seen: View | Joint) -> Iterator[Output]:
        """The output of each view in turn; each is computed only when it is asked for."""
        if isinstance(seen, Joint) and seen.rules is None:
            images = [view.image for view in seen.views]
            yield from split(self.student(torch.cat(images)), [len(image) for image in images])
        elif isinstance(seen, Joint):
            together = cast(Callable[..., Iterator[Output]], self.student.together)
            yield from together([view.image for view in seen.views], seen.groups, seen.rules)
        else:
            yield self.student(seen.image)

    def _losses(self, view: View, output: Output) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        if view.label is not None:
            losses["segmentation"] = (view.whole_loss or segmentation_loss)(output, view)
        for term in self._own_terms():
            if view.name in term.view_names and (term.is_smoothed or not self.is_ascending):
                losses |= term(self.student, view, output)
        return losses

    def _own_terms(self) -> list[Term]:
        return [cast(Term, term) for term in self.terms.children()]


@dataclass(frozen=True)
class Reading:
    """What a method wants to be read from the two domains.

    Attributes:
        labels: The folder of the target's offline labels; None for none.
        soft: Whether the probabilities stored beside those labels are learnt.
        source_share: The share of the source's pictures that are learnt in common batches with the target's; None if
            each domain has batches of its own.
        mined: Classes around whose offline labels target crops are cut.
        mine_chance: How often a target crop is cut around one.
    """

    labels: Path | None = None
    soft: bool = False
    source_share: float | None = None
    mined: Sequence[str] = ()
    mine_chance: float = 0.0


class MethodSettings(Settings):
    """The settings of a method, how it is built, and what it needs of a run."""

    name: Any
    """The method's name in settings files: each subclass narrows it to a literal of its own."""
    has_teacher: ClassVar[bool] = False
    """Whether the target's view carries a teacher's output."""
    labels_target: ClassVar[bool] = False
    """Whether the target's view carries a label, made by a teacher or beforehand."""
    shows_domains_apart: ClassVar[bool] = True
    """Whether each view shows one domain only, so that batch statistics can be kept for each."""
    names_pictures: ClassVar[bool] = False
    """Whether it can learn pictures that have one class each."""

    @property
    def reads_target(self) -> bool:
        """Whether it looks at target pictures."""
        return True

    @property
    def of_pixels(self) -> list[str]:
        """Its settings, as they are, that need labels of pixels."""
        return []

    @property
    def joins_domains(self) -> bool:
        """Whether both domains share a batch, so that a term can compare them picture by picture."""
        return False

    @property
    def deals_source(self) -> bool:
        """Whether a share of the source is learnt with every picture equally often, here or in one of the stages."""
        return False

    @property
    def learns_depth(self) -> bool:
        """Whether how far things are in either domain's pictures is to be read and learnt, too."""
        return False

    def reading(self, recipe: str) -> Reading:
        """What to read beside the source's pictures and labels; ``ValueError`` if settings do not say where it is."""
        return Reading()

    @property
    def colours(self) -> AugmentSettings | None:
        """How the colours of target pictures are changed for the student; None: not at all."""
        return None

    def build(self, context: Context, terms: Mapping[str, Term]) -> Method:
        """Build the method around the context's student.

        Raises:
            ValueError: If it does not fit the run.
            OSError: If a file that it needs is missing.
        """
        raise NotImplementedError

    def carry_out(self, stages: Stages) -> dict[str, Any] | None:
        """Carry out the whole run, by default one training; returns its scores, or None without labelled pictures."""
        return stages.train()


def split(output: Output, counts: Sequence[int]) -> Iterator[Output]:
    """The outputs of parts of a batch, of so many pictures each."""
    logits, embedding = output.logits.split(counts), output.embedding.split(counts)
    features = [level.split(counts) for level in output.features]
    supervised = [one.logits.split(counts) for one in output.supervised]
    for part in range(len(counts)):
        yield Output(
            logits[part],
            [level[part] for level in features],
            embedding[part],
            [replace(one, logits=own[part]) for one, own in zip(output.supervised, supervised, strict=True)],
        )


def _settle_trust(view: View, output: Output) -> None:
    """Multiply the trust in pixels and images, known only now, into the weight that every loss and term sees."""
    if view.pixel_trust is not None:
        with torch.no_grad():
            factor = view.pixel_trust(output, view)
            view.weight = factor if view.weight is None else view.weight * factor
        view.pixel_trust = None
    if view.trust is None or view.label is None:
        return
    with torch.no_grad():
        counted = view.label if view.weight is None else view.label.masked_fill(view.weight == 0, IGNORE)
        trust = view.trust(output.logits.detach(), counted)[:, None, None]
        view.weight = trust.expand(view.label.shape) if view.weight is None else view.weight * trust
    view.trust = None
