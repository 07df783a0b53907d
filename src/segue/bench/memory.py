"""The most memory that a training step of HRDA needs, against one that looks at all detail windows at once."""

import multiprocessing
import resource
import sys
from collections.abc import Iterator

import torch
from torch import Tensor

from segue.bench.measure import Row, row
from segue.bench.step import noise_batch, self_training
from segue.memory import keep_memory
from segue.methods.teacher import EmaTeacher
from segue.models.multi_resolution import MultiResolution

PEER = "the teacher's detail windows all at once, maps concatenated"


class AllAtOnce(MultiResolution):
    """HRDA as one would write it first: every window in one batch, through the plain layers."""

    def _detail_of(self, parts: Tensor) -> Iterator[Tensor]:
        # The layers save memory where no gradient is recorded; nothing here requires one, so none is.
        with torch.enable_grad():
            logits: Tensor = self.head(self.encoder(parts.flatten(0, 1)))[0]
        yield from logits.unflatten(0, (-1, parts.shape[1]))


def rows(recipe: str, *, encoder: str = "mit_b0", size: int = 512, batch: int = 2) -> list[Row]:
    """Measure the peak of two training steps in a fresh process each, ours and the straightforward one's.

    Args:
        recipe: A recipe with a multi-resolution network, "hrda" or "mic".
        encoder: The student's encoder.
        size: Side of the crops in pixels.
        batch: Crops of each domain.

    Returns:
        One line, in MiB: memory of the device on an accelerator, resident memory of the process otherwise.
    """
    ours, peer = (_in_fresh_process(recipe, encoder, size, batch, straight) for straight in (False, True))
    return [row(f"{recipe}_{encoder}_peak_memory", ours, unit="MiB", peer=PEER, peer_value=peer)]


def _in_fresh_process(recipe: str, encoder: str, size: int, batch: int, straight: bool) -> float:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (recipe, encoder, size, batch, straight))


def _peak(recipe: str, encoder: str, size: int, batch: int, straight: bool) -> float:
    keep_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    method = self_training(recipe, encoder, size=size)
    if straight:
        plain = method.student
        assert isinstance(plain, MultiResolution)
        method.teacher = EmaTeacher(
            AllAtOnce(plain.encoder, plain.head, attention_head=plain.attention_head, detail=plain.detail)
        )
    method = method.to(device).train()
    data = noise_batch(batch, size, device)
    for step in range(2):
        for view in method.views(data, step):
            torch.stack(list(method(view).values())).sum().backward()
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest / (2**20 if sys.platform == "darwin" else 2**10)
