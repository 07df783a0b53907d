"""The training loop: whatever the method yields is seen once and learnt from at once."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from rich.console import Console
from torch import Tensor

from segue.engine import checkpoint, optim
from segue.engine.log import RunLog
from segue.engine.pictures import ViewPainter
from segue.engine.settings import Experiment
from segue.methods.method import Method
from segue.ranks import average_over_ranks
from segue.types import Batch, Joint, View


class Trainer:
    """A method, its optimiser, and how many updates they have behind them.

    Args:
        experiment: The run's settings.
        folder: The run folder; its newest checkpoint is taken up.
        method: The algorithm with its starting weights.
        accelerator: Devices, precision and processes.

    Raises:
        ValueError: If the newest checkpoint is damaged or belongs to another experiment.
    """

    def __init__(
        self, experiment: Experiment, folder: Path, *, method: Method, accelerator: Accelerator
    ) -> None:
        settings = experiment.optim
        self.experiment = experiment
        self.folder = folder
        self.accelerator = accelerator
        self.method = method.to(accelerator.device)
        self.plain_optimizer = optim.adamw(
            optim.parameter_groups(
                method, lr=settings.lr, head_factor=settings.head_factor, weight_decay=settings.weight_decay
            ),
            betas=settings.betas,
        )
        self.step = self._take_up()
        # The whole method is prepared, not the student: the layers of its terms are reduced over ranks too.
        self.module, self.optimizer = accelerator.prepare(self.method, self.plain_optimizer)

    def run(self, batches: Iterator[Batch], *, painter: ViewPainter, console: Console) -> None:
        """Train from here to the end.

        Args:
            batches: The remaining batches, ``optim.accumulate`` of them a step.
            painter: Draws what the student sees when a picture is due.
            console: Where the first process shows progress.
        """
        steps, every = self.experiment.steps, self.experiment.run
        with ExitStack() as stack:
            log = self._log(stack, console)
            for step in range(self.step, steps):
                seed_step(self.experiment.seed, step, self.accelerator.process_index)
                is_drawn = log is not None and every.draw_every > 0 and step % every.draw_every == 0
                values = self.update(batches, step, painter if is_drawn else None)
                self.step = step + 1
                self._record(log, step, values)
                if self.step % every.save_every == 0 or self.step == steps:
                    self.save()

    def update(
        self, batches: Iterator[Batch], step: int, painter: ViewPainter | None = None
    ) -> dict[str, Tensor | float]:
        """One update: a pass and a backward for every view, then the optimiser, then whoever follows."""
        settings = self.experiment.optim
        warmup = round(settings.warmup * self.experiment.steps)
        factor = optim.schedule(
            step, self.experiment.steps, warmup=warmup, start=settings.warmup_start, power=settings.power
        )
        optim.set_rates(self.plain_optimizer, factor)
        self.method.train()
        values: dict[str, Tensor | float] = {"lr": settings.lr * factor}
        batch: Batch | None = None
        for batch in islice(batches, settings.accumulate):
            for seen in self._yielded(self.method.views(batch, step)):
                losses: dict[str, Tensor] = self.module(seen)
                self.accelerator.backward(torch.stack(list(losses.values())).sum() / settings.accumulate)
                values |= {name: loss.detach() for name, loss in losses.items()} | _mean_weights(seen)
                if painter is not None:
                    painter.add(seen, self.method.student)
            if painter is not None:
                painter.save(step)
                painter = None
        if batch is None:
            raise RuntimeError(f"the loader ended before step {step}")
        if settings.clip is not None:
            self.accelerator.clip_grad_norm_(self.module.parameters(), settings.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.method.after_step(batch, step)
        average_over_ranks(self.method.buffers())
        return values

    def save(self) -> None:
        """Write a checkpoint; all processes meet here."""
        if self.accelerator.is_main_process:
            scaler = self.accelerator.scaler
            state = checkpoint.State(self.step, {} if scaler is None else scaler.state_dict())
            folder, keep = self.folder / "checkpoints", self.experiment.run.keep
            checkpoint.save(folder, self.method, self.plain_optimizer, state, keep=keep)
        self.accelerator.wait_for_everyone()

    def _log(self, stack: ExitStack, console: Console) -> RunLog | None:
        """The first process writes the log; the others have none."""
        if not self.accelerator.is_main_process:
            return None
        steps, title = self.experiment.steps, self.experiment.recipe
        return stack.enter_context(
            RunLog(self.folder, steps=steps, start=self.step, console=console, title=title)
        )

    def _record(self, log: RunLog | None, step: int, values: dict[str, Tensor | float]) -> None:
        if log is None:
            return
        log.advance(step)
        if step % self.experiment.run.log_every == 0 or self.step == self.experiment.steps:
            log.write(step, _numbers(values, step))

    def _take_up(self) -> int:
        newest = checkpoint.list_checkpoints(self.folder / "checkpoints")[-1:]
        if not newest:
            return 0
        state = checkpoint.load(newest[0], self.method, self.plain_optimizer)
        if state.scaler and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state.scaler)
        return state.step

    def _yielded(self, views: Iterator[View | Joint]) -> Iterator[View | Joint]:
        """The views, with the code between two yields (the teacher's pass) in the run's precision."""
        while True:
            with self.accelerator.autocast():
                seen = next(views, None)
            if seen is None:
                return
            yield seen


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seed everything random in a step by where it is, so that resume needs no generator's state."""
    words = np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)
    torch.manual_seed(int(words[0] >> np.uint64(1)))


def _mean_weights(seen: View | Joint) -> dict[str, Tensor]:
    views = seen.views if isinstance(seen, Joint) else [seen]
    return {f"{view.name}/weight": view.weight.mean() for view in views if view.weight is not None}


def _numbers(values: dict[str, Tensor | float], step: int) -> dict[str, float]:
    """Losses as numbers, their sum first: the one copy to the host, made only when a line is written."""
    numbers = {name: float(value) for name, value in values.items()}
    losses = [value for name, value in numbers.items() if "/" in name and not name.endswith("/weight")]
    wrong = [name for name, value in numbers.items() if not np.isfinite(value)]
    if wrong:
        raise ValueError(
            f"step {step}: {', '.join(wrong)} is not finite; lower optim.lr, set optim.clip, or use run.precision=fp32"
        )
    return {"loss": sum(losses), **numbers}
