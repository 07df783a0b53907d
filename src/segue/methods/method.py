"""The two nouns of every algorithm here: a method yields views, a term is one more loss on a view."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, cast

import torch
from torch import Tensor, nn

from segue.models.batch_norms import RunningStatistics, batch_norms, statistics_kept
from segue.models.segmenter import segmentation_loss
from segue.types import IGNORE, Batch, Joint, Output, View


class Term(nn.Module):
    """An additional loss on a picture that the student has just seen.

    Subclasses say in ``view_names`` on which views they are called.
    """

    view_names: tuple[str, ...] = ()

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

    def after_step(self, batch: Batch, step: int) -> None:
        """Called once after the optimiser's update of this step: the teacher follows the student."""
        for term in self.terms.children():
            if isinstance(term, Term):
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
        for term in self.terms.children():
            if isinstance(term, Term) and view.name in term.view_names:
                losses |= term(self.student, view, output)
        return losses


def _settle_trust(view: View, output: Output) -> None:
    """Multiply the trust per image, known only now, into the weight that every loss and term sees."""
    if view.trust is None or view.label is None:
        return
    with torch.no_grad():
        counted = view.label if view.weight is None else view.label.masked_fill(view.weight == 0, IGNORE)
        trust = view.trust(output.logits.detach(), counted)[:, None, None]
        view.weight = trust.expand(view.label.shape) if view.weight is None else view.weight * trust
    view.trust = None
