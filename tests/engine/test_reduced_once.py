"""Two processes reduce their gradients once in a step, however many views it has, and learn what they learnt before."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from tests.methods.building import self_training
from tests.processes import POSIX, on_two
from tests.tiny import batch, tiny

from segue import ranks
from segue.engine.loop import Trainer, seed_step
from segue.engine.run import DISTRIBUTED
from segue.models.build import build_segmenter

STEPS = 3


def learn(folder: Path, rank: int, *, accumulate: int = 1) -> tuple[dict[str, torch.Tensor], int]:
    """What three steps of three views learn, and how often anything was reduced after the first one."""
    torch.manual_seed(0)
    student = build_segmenter(
        "mit_nano", "segformer", num_classes=12, channels=16, dropout=0.0, drop_path=0.0
    )
    method = self_training(student, {}, threshold=0.1, mask={"augment": False})
    optim = {"name": "sgd", "lr": 0.01, "warmup": 0.0, "accumulate": accumulate}
    accelerator = Accelerator(cpu=True, kwargs_handlers=[DISTRIBUTED])
    trainer = Trainer(tiny("daformer", {"optim": optim}), folder, method=method, accelerator=accelerator)
    reduced = 0

    def count(state: object, bucket: torch.distributed.GradBucket) -> torch.futures.Future[torch.Tensor]:
        nonlocal reduced
        reduced += 1
        return default_hooks.allreduce_hook(None, bucket)  # type: ignore[arg-type]

    from torch.distributed.algorithms.ddp_comm_hooks import default_hooks

    trainer.module.register_comm_hook(None, count)
    slots = slice(2 * rank, 2 * rank + 2)
    for step in range(STEPS):
        reduced = 0 if step == 1 else reduced  # after its first use DDP divides parameters anew
        seed_step(0, step, rank)
        trainer.update(iter([batch(2 * step + number, slots) for number in range(accumulate)]), step)
    return {name: value.clone() for name, value in method.state_dict().items()}, reduced


def compare(rank: int, folder: Path) -> None:
    ranks.join(cpu=True)
    for accumulate in (1, 2):
        once, reduced = learn(folder, rank, accumulate=accumulate)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Accelerator, "no_sync", lambda *_: nullcontext())
            always, often = learn(folder, rank, accumulate=accumulate)
        assert often == 3 * accumulate * reduced > 0
        for name, value in once.items():
            assert torch.allclose(value.double(), always[name].double(), rtol=1e-4, atol=1e-6), name
        if accumulate == 1:
            torch.save(once, folder / f"{rank}.pt")


@pytest.mark.slow
@POSIX
def test_reduced_once_a_step(tmp_path: Path) -> None:
    on_two(compare, tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
