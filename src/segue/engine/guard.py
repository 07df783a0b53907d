"""Nothing is learnt from a step with a value that is not finite: the device notices it, the host asks now and then."""

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
"""The gradient's name among those of losses."""


@dataclass(frozen=True)
class Fault:
    """The first step in which something was not finite.

    Attributes:
        step: Updates before it.
        wrong: For every process, what was not finite: ``view/term`` or "gradient".
    """

    step: int
    wrong: list[list[str]]

    @property
    def processes(self) -> list[int]:
        """The processes in which something was not finite, at least one."""
        return [rank for rank, names in enumerate(self.wrong) if names]

    def __str__(self) -> str:
        names = sorted({name for own in self.wrong for name in own})
        what = ", ".join(_in_words(name) for name in names)
        numbers, count = ", ".join(map(str, self.processes)), len(self.wrong)
        where = f" on process {numbers} of {count}" if len(self.processes) < count else ""
        return f"step {self.step}: not finite{where}: {what}"


class Guard:
    """Holds a run in its last good state; nothing waits for the device until :meth:`fault` is called.

    From the first step on in which a loss or the gradient is not finite, in any process, ``held`` is 1. Optimisers and
    teacher then stay as they are. What a pass itself changes (running statistics, banks) is remembered from before
    that step, and put back by :meth:`undo`.

    Args:
        buffers: Tensors that passes change; they must be changed in place, never replaced.
        device: Where the buffers are.

    Attributes:
        held: A scalar of 0 or 1 on the device, equal in all processes.
    """

    def __init__(self, buffers: Iterable[Tensor], device: torch.device) -> None:
        self.held = torch.zeros((), device=device)
        # As bytes all of them have one type, so that a step costs one copy instead of one for each.
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
        """Hold the run from this step on if anything is not finite; all processes have to call this.

        Args:
            step: Updates so far.
            losses: Detached scalars with their names, each of which may appear several times.
            gradients: Of the parameters.
        """
        values = [loss.float() for _, loss in losses]
        # The kernel of gradient scaling: it multiplies, here by 1, and sets a flag that it never clears.
        torch._amp_foreach_non_finite_check_and_unscale_([*values, *gradients], self.held, self._one)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
        share_largest(self.held)
        self._steps.append((step, self.held.clone(), losses))

    def fault(self) -> Fault | None:
        """What has not been finite since the last call, if anything; waits for the device, then for other processes."""
        if not bool(self.held):
            self._steps.clear()
            return None
        step, losses = next((step, losses) for step, held, losses in self._steps if bool(held))
        wrong = of_all_ranks(sorted({name for name, loss in losses if not bool(loss.isfinite())}))
        return Fault(step, wrong if any(wrong) else [[GRADIENT]] * len(wrong))

    def undo(self) -> None:
        """Put the buffers back to their state before the first step that is not learnt from."""
        if self._before is not None:
            pieces = self._before.split([len(buffer) for buffer in self._buffers])
            for buffer, piece in zip(self._buffers, pieces, strict=True):
                buffer.copy_(piece)


def kept_batches(folder: Path, step: int, process: int) -> Path:
    """The file in which a run folder keeps what a process was given in a step."""
    return folder / "not_finite" / f"step_{step:07d}_process_{process}.safetensors"


def write_batches(path: Path, batches: Sequence[Batch], *, facts: Mapping[str, object]) -> None:
    """Keep the batches of a step for inspection, in a safetensors file.

    It holds ``source_image`` (normalised), ``source_label``, ``target_image`` and what else the target has; names of
    later batches of the step begin with a number. The pictures' names and the facts are its metadata.
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
