"""A step in which something was not finite is not learnt from: watched on the device, asked for now and then."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from segue.files import write_bytes
from segue.ranks import of_all_ranks, share_largest
from segue.types import Batch

GRADIENT = "gradient"
"""What the gradient is called among the losses."""


@dataclass(frozen=True)
class Fault:
    """The first step in which something was not finite.

    Attributes:
        step: Updates before it.
        wrong: What was not finite, ``view/term`` or "gradient", for every process.
    """

    step: int
    wrong: list[list[str]]

    @property
    def processes(self) -> list[int]:
        """Where something was not finite; at least one."""
        return [rank for rank, names in enumerate(self.wrong) if names]

    def __str__(self) -> str:
        names = sorted({name for own in self.wrong for name in own})
        said = ", ".join(_in_words(name) for name in names)
        where, count = ", ".join(map(str, self.processes)), len(self.wrong)
        some = f" on process {where} of {count}" if len(self.processes) < count else ""
        return f"step {self.step}: not finite{some}: {said}"


class Guard:
    """Holds a run where it last was well; nothing waits for the device until :meth:`fault` is asked.

    From the first step on in which a loss or the gradient is not finite, in any process, ``held`` is 1. Optimiser and
    teacher then stay where they are; what a pass changes by itself (running statistics, banks) is remembered from
    before that step, and put back by :meth:`undo`.

    Args:
        buffers: What passes change: in place, never replaced.
        device: Where they are.

    Attributes:
        held: 0 or 1, a scalar on the device, equal in all processes.
    """

    def __init__(self, buffers: Iterable[Tensor], device: torch.device) -> None:
        self.held = torch.zeros((), device=device)
        # As bytes all of them are of one kind: a step costs one copy, not one for each.
        self._buffers = [buffer.detach().view(-1).view(torch.uint8) for buffer in buffers if buffer.numel()]
        self._before: Tensor | None = None
        self._one = torch.ones((), device=device)
        self._steps: list[tuple[int, Tensor, list[tuple[str, Tensor]]]] = []

    def begin(self) -> None:
        """Remember the buffers as they are before a step."""
        if self._buffers:
            now = torch.cat(self._buffers)
            self._before = now if self._before is None else torch.where(self.held > 0, self._before, now)

    @torch.no_grad()
    def settle(self, step: int, losses: list[tuple[str, Tensor]], gradients: list[Tensor]) -> None:
        """Hold everybody from this step on if anything is not finite; all processes meet here.

        Args:
            step: Updates so far.
            losses: Scalars by name, which may come several times; cut off from their graph.
            gradients: Of the parameters.
        """
        values = [loss.float() for _, loss in losses]
        # The kernel of gradient scaling: it multiplies, here by 1, and sets a flag that it never resets.
        torch._amp_foreach_non_finite_check_and_unscale_([*values, *gradients], self.held, self._one)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
        share_largest(self.held)
        self._steps.append((step, self.held.clone(), losses))

    def fault(self) -> Fault | None:
        """What was not finite since the last call, if anything was: the device is waited for, then the others."""
        if not bool(self.held):
            self._steps.clear()
            return None
        step, losses = next((step, losses) for step, held, losses in self._steps if bool(held))
        wrong = of_all_ranks(sorted({name for name, loss in losses if not bool(loss.isfinite())}))
        return Fault(step, wrong if any(wrong) else [[GRADIENT]] * len(wrong))

    def undo(self) -> None:
        """Put the buffers back to where they were before the first step that is not learnt from."""
        if self._before is not None:
            pieces = self._before.split([len(buffer) for buffer in self._buffers])
            for buffer, piece in zip(self._buffers, pieces, strict=True):
                buffer.copy_(piece)


def kept_batches(folder: Path, step: int, process: int) -> Path:
    """Where a run folder keeps what a process had in a step."""
    return folder / "not_finite" / f"step_{step:07d}_process_{process}.safetensors"


def write_batches(path: Path, batches: Sequence[Batch], *, facts: Mapping[str, object]) -> None:
    """Keep the batches of a step for inspection.

    Args:
        path: A safetensors file: ``source_image`` (normalised), ``source_label``, ``target_image`` and what else the
            target has; from the second batch of a step on with a number before. Names and facts are its metadata.
        batches: As the method got them.
        facts: What else to say.
    """
    named: dict[str, object] = {}
    for number, batch in enumerate(batches):
        before = f"{number}_" if number else ""
        named |= {f"{before}source_{name}": value for name, value in vars(batch.source).items()}
        target = {} if batch.target is None else vars(batch.target)
        named |= {f"{before}target_{name}": value for name, value in target.items()}
    tensors = {name: value.contiguous().cpu() for name, value in named.items() if isinstance(value, Tensor)}
    lists = {name: json.dumps(value) for name, value in named.items() if isinstance(value, list)}
    write_bytes(path, save(tensors, {name: str(value) for name, value in facts.items()} | lists))


def _in_words(name: str) -> str:
    if name == GRADIENT:
        return "the gradient, though every loss is"
    view, _, term = name.partition("/")
    return f"{term} of view {view}"
