"""The memory of HRDA's training step, against one that looks at all detail windows at once."""

from collections.abc import Iterator

import torch
from torch import Tensor

from segue.bench.measure import Benchmark, benchmark, peak_mib
from segue.bench.step import noise_batch, self_training
from segue.methods.teachers.average import AverageSettings, EmaTeacher
from segue.models.multi_resolution import MultiResolution

PEER = "the teacher's detail windows all at once, maps concatenated"


class AllAtOnce(MultiResolution):
    """The straightforward HRDA: every window in one batch, through the plain layers."""

    def _detail_of(self, parts: Tensor) -> Iterator[Tensor]:
        # The layers save memory only without autograd. It is enabled here, but no tensor requires a gradient.
        with torch.enable_grad():
            logits: Tensor = self.head(self.encoder(parts.flatten(0, 1)))[0]
        yield from logits.unflatten(0, (-1, parts.shape[1]))


def rows(recipe: str, *, encoder: str = "mit_b0", size: int = 512, batch: int = 2) -> list[Benchmark]:
    """Measure the peak of two training steps, ours and the straightforward one's.

    Args:
        recipe: A recipe with a multi-resolution network, "hrda" or "mic".
    """
    ours, peer = (peak_mib(_two_steps, recipe, encoder, size, batch, plain) for plain in (False, True))
    return [benchmark(f"{recipe}_{encoder}_peak_memory", ours, unit="MiB", peer=PEER, peer_value=peer)]


def _two_steps(
    recipe: str, encoder: str, size: int, batch: int, straightforward: bool, device: torch.device
) -> None:
    method = self_training(recipe, encoder, size=size)
    student = method.student
    if straightforward and isinstance(student, MultiResolution):
        method.teacher = EmaTeacher(
            AverageSettings(),
            AllAtOnce(
                student.encoder,
                student.head,
                attention_head=student.attention_head,
                detail=student.detail,
                context_scale=1 / student.shrinks,
                detail_share=student.detail_share,
                overlap=student.overlap,
            ),
        )
    method = method.to(device).train()
    data = noise_batch(batch, size, device)
    for step in range(2):
        for view in method.views(data, step):
            torch.stack(list(method(view).values())).sum().backward()
