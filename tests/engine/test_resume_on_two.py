"""Two processes with disks of their own go on from the first one's checkpoint, bit-equal; another number is refused."""

from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from tests.methods.building import self_training
from tests.processes import POSIX, forget_processes, on_two
from tests.tiny import batch, tiny

from segue import ranks
from segue.engine import checkpoint
from segue.engine.loop import Trainer, seed_step
from segue.engine.run import DISTRIBUTED
from segue.models.build import build_segmenter


def trainer(folder: Path, seed: int) -> Trainer:
    torch.manual_seed(seed)
    student = build_segmenter(
        "mit_nano", "segformer", num_classes=12, channels=16, dropout=0.0, drop_path=0.0
    )
    accelerator = Accelerator(cpu=True, kwargs_handlers=[DISTRIBUTED])
    return Trainer(
        tiny("daformer"), folder, method=self_training(student, {}, threshold=0.1), accelerator=accelerator
    )


def state(one: Trainer) -> dict[str, torch.Tensor]:
    moments = checkpoint.moments_of(one.optimisers.by_name["optimizer"])
    return {name: value.clone() for name, value in (one.method.state_dict() | moments).items()}


def go_on(rank: int, folder: Path) -> None:
    """The second process has another checkpoint on its disk, and other weights in memory."""
    ranks.join(cpu=True)
    own = folder / str(rank)
    slots = slice(2 * rank, 2 * rank + 2)
    unbroken = trainer(own, seed=0)
    for step in range(3):
        seed_step(0, step, rank)
        unbroken.update(iter([batch(step, slots)]), step)
        unbroken.step = step + 1
        if step == 1:
            unbroken.save()
    if rank == 1:
        assert not (own / "checkpoints").exists()
        alone = {"optimizer": torch.optim.AdamW(torch.nn.Linear(1, 1).parameters())}
        checkpoint.save(own / "checkpoints", torch.nn.Linear(1, 1), alone, checkpoint.State(9))
    resumed = trainer(own, seed=rank + 1)
    assert resumed.step == 2, f"process {rank} went on at step {resumed.step}"
    seed_step(0, 2, rank)
    resumed.update(iter([batch(2, slots)]), 2)
    assert all(torch.equal(value, state(unbroken)[name]) for name, value in state(resumed).items())


@pytest.mark.slow
@POSIX
def test_the_first_process_decides_where_to_go_on(tmp_path: Path) -> None:
    on_two(go_on, tmp_path)
    forget_processes()
    with pytest.raises(ValueError, match=r"written with processes 2 \(now 1\): start 2 processes, or choose"):
        trainer(tmp_path / "0", seed=0)


def test_what_a_run_may_not_change_is_in_its_checkpoint(tmp_path: Path) -> None:
    one = torch.nn.Linear(2, 2)
    optimisers = {"optimizer": torch.optim.AdamW(one.parameters())}
    written = checkpoint.State(1, conditions={"processes": 2, "precision": "bf16"})
    path = checkpoint.save(tmp_path, one, optimisers, written)
    with pytest.raises(ValueError, match=r"precision bf16 \(now fp32\): set run.precision=bf16"):
        checkpoint.load(path, one, optimisers, conditions={"processes": 2, "precision": "fp32"})
    assert checkpoint.load(path, one, optimisers, conditions={"processes": 2, "precision": "bf16"}).step == 1
