"""Checkpoints are whole or not there, come back bit-equal, and say so when they are damaged."""

from pathlib import Path

import pytest
import torch
from torch import nn

from segue.engine import checkpoint


def network(seed: int = 0) -> tuple[nn.Module, torch.optim.AdamW]:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    return module, torch.optim.AdamW(module.parameters(), lr=0.1)


def learn(module: nn.Module, optimizer: torch.optim.AdamW, steps: int) -> None:
    for step in range(steps):
        torch.manual_seed(step)
        module(torch.randn(5, 3)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_going_on_from_a_checkpoint_equals_never_stopping(tmp_path: Path) -> None:
    module, optimizer = network()
    learn(module, optimizer, 3)
    checkpoint.save(tmp_path, module, {"optimizer": optimizer}, checkpoint.State(3), keep=1)
    other, other_optimizer = network(seed=1)
    assert checkpoint.load(tmp_path / "0000003", other, {"optimizer": other_optimizer}).step == 3
    for one in ((module, optimizer), (other, other_optimizer)):
        learn(*one, 2)
    for name, value in module.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    module, optimizer = network()
    learn(module, optimizer, 1)
    for step in (1, 2, 10):
        checkpoint.save(tmp_path, module, {"optimizer": optimizer}, checkpoint.State(step), keep=2)
    assert [path.name for path in checkpoint.list_checkpoints(tmp_path)] == ["0000002", "0000010"]


def test_one_that_was_being_written_when_the_run_was_killed_is_not_seen(tmp_path: Path) -> None:
    (tmp_path / ".0000009.part").mkdir()
    assert checkpoint.list_checkpoints(tmp_path) == []
    assert checkpoint.list_checkpoints(tmp_path / "nowhere") == []


@pytest.mark.parametrize("name", [checkpoint.METHOD_FILE, "optimizer.safetensors", checkpoint.STATE_FILE])
def test_a_file_cut_in_half_is_an_error_that_names_the_folder_and_changes_nothing(
    tmp_path: Path, name: str
) -> None:
    module, optimizer = network()
    learn(module, optimizer, 1)
    path = checkpoint.save(tmp_path, module, {"optimizer": optimizer}, checkpoint.State(1), keep=1)
    content = (path / name).read_bytes()
    (path / name).write_bytes(content[: len(content) // 2])
    other, other_optimizer = network(seed=1)
    before = {k: v.clone() for k, v in other.state_dict().items()}
    with pytest.raises(ValueError, match="is damaged") as error:
        checkpoint.load(path, other, {"optimizer": other_optimizer})
    assert str(path) in str(error.value)
    assert all(torch.equal(v, before[k]) for k, v in other.state_dict().items())


def test_another_network_is_refused(tmp_path: Path) -> None:
    module, optimizer = network()
    learn(module, optimizer, 1)
    path = checkpoint.save(tmp_path, module, {"optimizer": optimizer}, checkpoint.State(1), keep=1)
    other = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="another network"):
        checkpoint.load(path, other, {"optimizer": torch.optim.AdamW(other.parameters())})
