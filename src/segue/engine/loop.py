"""The training loop: every view that the method yields gets one pass and one backward at once."""

import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, nullcontext
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from rich.console import Console
from torch import Tensor

from segue.engine import checkpoint
from segue.engine.guard import Guard, kept_batches, write_batches
from segue.engine.log import RunLog
from segue.engine.optim import Optimisers
from segue.engine.run_identity import require_own, run_id
from segue.engine.settings import Experiment
from segue.engine.stopping import Stopping
from segue.engine.view_painter import ViewPainter
from segue.engine.waiting import Waiting
from segue.engine.witness import Witness, is_previewed
from segue.methods.method import Method
from segue.ranks import average_over_ranks, is_first_rank, processes, said_by_first_rank, share_first
from segue.types import Batch, Joint, View

PRECISIONS = {"no": "fp32", "bf16": "bf16", "fp16": "fp16"}
"""Accelerate's names of precisions, and ours."""


class Trainer:
    """Trains a method, from its starting weights or from the run folder's newest checkpoint.

    Raises:
        ValueError: If the newest checkpoint is damaged or belongs to another experiment.
    """

    def __init__(
        self, experiment: Experiment, folder: Path, *, method: Method, accelerator: Accelerator
    ) -> None:
        self.experiment = experiment
        self.folder = folder
        self.accelerator = accelerator
        self.method = method.to(accelerator.device)
        self.optimisers = Optimisers(method, experiment.optim, steps=experiment.steps)
        self.step = self._resume()
        if experiment.run.compile:
            # Part by part, since what joins them draws windows; in place, so that names in checkpoints stay.
            for part in self.method.student.children():
                part.compile()
        if accelerator.ddp_handler is not None:
            accelerator.ddp_handler.find_unused_parameters = self.has_layers_outside
        # The whole method is prepared, not only the student, so that its terms' gradients are reduced over ranks, too.
        with (
            warnings.catch_warnings()
        ):  # its new name is unknown to older versions of torch, and to Accelerate
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            self.module, *self.prepared = accelerator.prepare(self.method, *self.optimisers.by_name.values())
        self.learnt = self.optimisers.parameters()
        self.buffers = list(self.method.buffers())
        self.guard = Guard([*self.buffers, *_scaler_tensors(accelerator)], accelerator.device)
        self.method.held = self.guard.held
        self.optimisers.hold(self.guard.held)

    def run(
        self,
        read: Callable[[int, int], Iterator[Batch]],
        *,
        painter: ViewPainter,
        console: Console,
        witness: Witness | None = None,
    ) -> None:
        """Train from here to the end.

        Args:
            read: Reads the batches from one number to before another; a step takes ``optim.accumulate`` of them.
            witness: Measures the network at the start and whenever a checkpoint is written; None on all processes but
                the first, which the others wait for.

        Raises:
            ValueError: If a loss or the gradient was not finite. The newest checkpoint then holds the state before
                that step.
        """
        steps, every = self.experiment.steps, self.experiment.run
        accumulate = self.experiment.optim.accumulate
        reading = read(self.step * accumulate, steps * accumulate)
        batches = Waiting(reading)
        with ExitStack() as stack:
            if isinstance(reading, Generator):
                stack.callback(reading.close)  # it ends the workers, which an error would keep
            log, stopping = self._log(stack, console), stack.enter_context(Stopping())
            if self.step % every.save_every == 0 and witness is not None and not witness.has_seen(self.step):
                _look(witness, self.step, console)
            for step in range(self.step, steps):
                seed_step(self.experiment.seed, step, self.accelerator.process_index)
                is_drawn = log is not None and every.draw_every > 0 and step % every.draw_every == 0
                values = self.update(batches, step, painter if is_drawn else None)
                self.step = step + 1
                is_logged = step % every.log_every == 0 or self.step == steps
                is_stopped = self._is_stopped(stopping)
                is_saved = is_stopped or self.step % every.save_every == 0 or self.step == steps
                if is_logged or is_saved:
                    self._require_finite(read)
                if log is not None and is_logged:
                    log.write(step, _numbers(values), waited=batches.spent())
                if log is not None:
                    log.advance(step)
                _preview(witness if every.draw_every else None, self.step)
                if is_saved:
                    self.save(alone=is_stopped)
                if is_saved and not is_stopped:
                    _look(witness, self.step, console)
                if is_stopped:
                    console.print(f"saved step {self.step} of {steps}", highlight=False)
                    stopping.leave()

    def update(
        self, batches: Iterator[Batch], step: int, painter: ViewPainter | None = None
    ) -> dict[str, Tensor | float]:
        """One update: a pass and a backward for every view, then the optimisers, then what follows the student.

        With sharpness-aware minimisation there are two passes over the same views: one finds the steepest direction,
        the other one's gradients are taken a little way along it, and are used where the weights were.
        """
        settings, sharpness = self.experiment.optim, self.optimisers.sharpness
        values: dict[str, Tensor | float] = {"lr": self.optimisers.set_rates(step)}
        self.method.train()
        self.method.begin(step)
        self.guard.begin()
        watched: list[tuple[str, Tensor]] = []
        own = islice(batches, settings.accumulate)
        if sharpness is not None:
            own = list(own)
            self.method.is_ascending = True
            self._pass(own, step, watched)
            self.method.is_ascending = False
            sharpness.ascend(self.optimisers.students())
            for optimizer in self.prepared:
                optimizer.zero_grad()
            # Dropout and masks are drawn as before: it is the same loss, at other weights.
            seed_step(self.experiment.seed, step, self.accelerator.process_index)
        batch, seen = self._pass(own, step, watched, painter)
        values |= seen
        if sharpness is not None:
            sharpness.restore()
        self.guard.settle(step, watched, self._gradients())
        if settings.clip is not None:
            self.accelerator.clip_grad_norm_(self.module.parameters(), settings.clip)
        for optimizer in self.prepared:
            optimizer.step()
            optimizer.zero_grad()
        self.method.after_step(batch, step)
        average_over_ranks(self.buffers)
        return values

    def _pass(
        self,
        batches: Iterable[Batch],
        step: int,
        watched: list[tuple[str, Tensor]],
        painter: ViewPainter | None = None,
    ) -> tuple[Batch, dict[str, Tensor | float]]:
        """A pass and a backward for every view of a step's batches; losses are added to ``watched``.

        Returns:
            The last batch, and losses and mean weights by name.
        """
        accumulate = self.experiment.optim.accumulate
        values: dict[str, Tensor | float] = {}
        batch: Batch | None = None
        is_last = False
        for number, batch in enumerate(batches, 1):
            for seen in self._yielded(self.method.views(batch, step)):
                is_last = number == accumulate and self._is_last(seen)
                with nullcontext() if is_last else self.accelerator.no_sync(self.module):
                    losses: dict[str, Tensor] = self.module(seen)
                    total = torch.stack(list(losses.values())).sum()
                    self.accelerator.backward(total / accumulate)
                detached = {name: loss.detach() for name, loss in losses.items()}
                watched += detached.items()
                values |= detached | _mean_weights(seen)
                if painter is not None:
                    painter.add(seen, self.method.student)
            if painter is not None:
                painter.save(step)
                painter = None  # one batch of a step is enough
        if batch is None:
            raise RuntimeError(f"the loader ended before step {step}")
        if not is_last and processes() > 1:
            raise RuntimeError(f"step {step} did not end with view {self.method.view_names[-1]!r}")
        return batch, values

    @property
    def has_layers_outside(self) -> bool:
        """Whether anything but the student learns, such as a term's discriminators, which not every view uses."""
        students = {id(parameter) for parameter in self.method.student.parameters()}
        return any(id(parameter) not in students for parameter in self.optimisers.parameters())

    def _is_last(self, seen: View | Joint) -> bool:
        """Whether no further view follows: gradients are reduced over processes only then, once in a step."""
        views = seen.views if isinstance(seen, Joint) else [seen]
        return views[-1].name == self.method.view_names[-1]

    def _gradients(self) -> list[Tensor]:
        """The gradients that have to be finite.

        In fp16 none have to be: scaled gradients overflow now and then, and the scaler skips such a step by itself.
        """
        learnt = [] if self.accelerator.scaler is not None else self.learnt
        return [gradient for parameter in learnt if (gradient := parameter.grad) is not None]

    def _require_finite(self, read: Callable[[int, int], Iterator[Batch]]) -> None:
        """Stop all processes in the last good state, if anything has not been finite since."""
        fault = self.guard.fault()
        if fault is None:
            return
        self.guard.undo()
        self.step = step = fault.step
        rank, accumulate = self.accelerator.process_index, self.experiment.optim.accumulate
        if rank in fault.processes:
            facts = {"step": step, "seed": self.experiment.seed, "process": rank, "wrong": fault.wrong[rank]}
            again = read(step * accumulate, (step + 1) * accumulate)
            write_batches(kept_batches(self.folder, step, rank), list(again), facts=facts)
        if step:
            self.save()
        self.accelerator.wait_for_everyone()
        if not self.accelerator.is_main_process:
            raise SystemExit(2)  # the first process speaks for all
        kept = kept_batches(self.folder, step, fault.processes[0])
        raise ValueError(f"{fault}; {self._advice(kept)}")

    def _is_stopped(self, stopping: Stopping) -> bool:
        """Whether to save and stop here; of several processes the first one does, as all have the same state."""
        return stopping.asked is not None and self.accelerator.is_main_process

    def save(self, *, alone: bool = False) -> None:
        """Write a checkpoint; all processes have to call this, unless the first one does it alone."""
        if self.accelerator.is_main_process:
            scaler = self.accelerator.scaler
            scaling = {} if scaler is None else scaler.state_dict()
            state = checkpoint.State(self.step, scaling, self._conditions(), run=run_id(self.folder))
            folder, keep = self.folder / "checkpoints", self.experiment.run.keep
            checkpoint.save(folder, self.method, self.optimisers.by_name, state, keep=keep)
        if alone:
            return
        self.accelerator.wait_for_everyone()

    def _log(self, stack: ExitStack, console: Console) -> RunLog | None:
        """The log, which only the first process writes; None on the others."""
        if not self.accelerator.is_main_process:
            return None
        steps, title = self.experiment.steps, self.experiment.recipe
        return stack.enter_context(
            RunLog(
                self.folder,
                steps=steps,
                start=self.step,
                console=console,
                title=title,
                also=self.accelerator.log,
            )
        )

    def _advice(self, kept: Path) -> str:
        """What the user can do about a value that is not finite."""
        precision = {"fp16": "run.precision=bf16 or fp32, ", "bf16": "run.precision=fp32, "}
        return (
            f"the pictures are in {kept}, and {self.step} good steps are kept: correct the pictures and give the same"
            " command again, or start another run with a lower optim.lr,"
            f" {precision.get(self.experiment.run.precision, '')}or optim.clip"
        )

    def _resume(self) -> int:
        """Go on from the first process's newest checkpoint, if it has one; returns the updates so far.

        The others never look at their own disks, which may hold an older checkpoint or none.
        """
        optimisers = self.optimisers.by_name
        newest = None
        if is_first_rank():
            newest = checkpoint.list_checkpoints(self.folder / "checkpoints")[-1:]
        state = None
        if newest:
            state = checkpoint.load(newest[0], self.method, optimisers, conditions=self._conditions())
            require_own(self.folder, newest[0], state.run)
        state = said_by_first_rank(state)
        share_first(self.method.state_dict().values())
        if state is None:
            return 0
        for optimiser in optimisers.values():
            shapes = said_by_first_rank(checkpoint.shapes_of_moments(optimiser))
            if not is_first_rank():
                checkpoint.load_moments(optimiser, checkpoint.empty(shapes))
            share_first(checkpoint.moments_of(optimiser).values())
        if state.scaler and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state.scaler)
        return state.step

    def _conditions(self) -> dict[str, int | str]:
        """What a run may not change on its way, as its later steps would not be those of the run left alone."""
        return {
            "processes": processes(),
            "batch": self.experiment.data.batch,
            "precision": PRECISIONS[self.accelerator.mixed_precision],
        }

    def _yielded(self, views: Iterator[View | Joint]) -> Iterator[View | Joint]:
        """The views; the code between two yields, such as the teacher's pass, runs in the run's precision."""
        while True:
            with self.accelerator.autocast():
                seen = next(views, None)
            if seen is None:
                return
            yield seen


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seed everything random in a step by its place, so that resuming needs no generator's state."""
    words = np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)
    torch.manual_seed(int(words[0] >> np.uint64(1)))


def _look(witness: Witness | None, step: int, console: Console) -> None:
    for alarm in witness.look(step) if witness is not None else ():
        console.print(f"step {step}: {alarm}", style="bold yellow", highlight=False, markup=False)


def _preview(witness: Witness | None, step: int) -> None:
    if witness is not None and is_previewed(step):
        witness.preview(step)


def _mean_weights(seen: View | Joint) -> dict[str, Tensor]:
    views = seen.views if isinstance(seen, Joint) else [seen]
    return {f"{view.name}/weight": view.weight.mean() for view in views if view.weight is not None}


def _numbers(values: dict[str, Tensor | float]) -> dict[str, float]:
    """Losses as numbers, their sum first; this copies them to the host, so only when a line is written."""
    numbers = {name: float(value) for name, value in values.items()}
    losses = [value for name, value in numbers.items() if "/" in name and not name.endswith("/weight")]
    return {"loss": sum(losses), **numbers}


def _scaler_tensors(accelerator: Accelerator) -> list[Tensor]:
    """The factor of fp16's gradient scaler and its count of good steps, which every step changes."""
    scaler = accelerator.scaler
    if scaler is None:
        return []
    scaler.scale(torch.zeros((), device=accelerator.device))  # it creates them when it first scales something
    state = (getattr(scaler, name) for name in ("_scale", "_growth_tracker"))
    return [tensor for tensor in state if isinstance(tensor, Tensor)]
