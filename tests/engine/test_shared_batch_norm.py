"""With shared batch norms two processes learn what one learns on all pictures, statistics included."""

from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from tests.engine.test_processes import batch, daformer
from tests.processes import POSIX, forget_processes, on_two
from tests.tiny import tiny
from torch import nn

from segue import ranks
from segue.engine.loop import Trainer
from segue.engine.run import DISTRIBUTED
from segue.models.batch_norms import SharedBatchNorm, share_statistics
from segue.models.build import build_segmenter

STEPS = 2


def learn(folder: Path) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    student = build_segmenter(
        "mit_nano", "segformer", num_classes=12, channels=16, dropout=0.0, drop_path=0.0
    )
    method = daformer(student)
    share_statistics(method)
    assert any(isinstance(module, SharedBatchNorm) for module in method.modules())
    accelerator = Accelerator(cpu=True, kwargs_handlers=[DISTRIBUTED])
    optim = {"optim": {"name": "sgd", "lr": 0.01, "warmup": 0.0}}
    trainer = Trainer(tiny("daformer", optim), folder, method=method, accelerator=accelerator)
    each = 4 // ranks.processes()
    slots = slice(ranks.rank() * each, (ranks.rank() + 1) * each)
    for step in range(STEPS):
        trainer.update(iter([batch(step, slots)]), step)
    return {name: value.clone() for name, value in method.state_dict().items()}


def keep(rank: int, folder: Path) -> None:
    ranks.join(cpu=True)
    torch.save(learn(folder), folder / f"{rank}.pt")


@pytest.mark.slow
@POSIX
def test_two_processes_equal_one(tmp_path: Path) -> None:
    on_two(keep, tmp_path)
    forget_processes()
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    alone = learn(tmp_path)
    assert any("running_var" in name for name in alone)
    for name, value in alone.items():
        assert torch.equal(first[name], second[name]), name
        assert torch.allclose(value.double(), first[name].double(), rtol=1e-3, atol=1e-5), name


def test_alone_it_is_a_plain_batch_norm() -> None:
    plain, shared = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    share_statistics(nn.Sequential(shared))
    maps = torch.randn(2, 3, 4, 4)
    assert torch.equal(plain(maps), shared(maps)) and torch.equal(plain.running_var, shared.running_var)
