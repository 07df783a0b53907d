"""Two processes share what ranks.py says they do; one alone gets its own values back and does not import Accelerate."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from segue import ranks
from tests.processes import MEETING, POSIX, on_two

ALONE = """
import sys, torch
from segue import ranks
value = torch.tensor([1.0, 2.0])
assert all(f(value) is value for f in (ranks.mean_over_ranks, ranks.sum_over_ranks, ranks.from_first_rank))
ranks.share_largest(value)
ranks.average_over_ranks([value])
ranks.wait_for_all()
assert value.tolist() == [1.0, 2.0] and ranks.of_all_ranks("a") == ["a"]
assert (ranks.rank(), ranks.processes(), ranks.is_first_rank(), list(ranks.own_share(2))) == (0, 1, True, [0, 1])
assert "accelerate" not in sys.modules
import accelerate
ranks.share_largest(value)
assert not ranks.several() and not accelerate.PartialState._shared_state, "asking is no meeting"
"""


@pytest.mark.slow
def test_a_process_alone_asks_nobody() -> None:
    subprocess.run([sys.executable, "-c", ALONE], check=True, timeout=600)


def test_the_launcher_is_read_without_a_meeting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert ranks.launched() == (0, 1, 0)
    for name, value in {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert ranks.launched() == (5, 8, 1)
    assert not ranks.several()


def test_what_lies_elsewhere_is_summed_where_processes_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    """NCCL takes nothing that lies on a host."""
    import accelerate.utils

    def reduce(value: torch.Tensor, how: str) -> torch.Tensor:
        assert value.is_meta, "it was brought to the device"
        return torch.full(value.shape, 7)

    monkeypatch.setattr(accelerate.utils, "reduce", reduce)
    monkeypatch.setattr(ranks, "_state", lambda: SimpleNamespace(device=torch.device("meta")))
    assert ranks.mean_over_ranks(torch.tensor([1, 2])).tolist() == [7, 7]


def share(rank: int, folder: Path) -> None:
    ranks.join(cpu=True, timeout=MEETING)
    own = torch.tensor([1.0, 8.0]) if rank == 0 else torch.tensor([4.0, 2.0])
    before, largest, flag = own.clone(), own.clone(), torch.tensor(float(rank))
    ranks.share_largest(largest)
    ranks.share_largest(flag)  # a scalar, as the guard's
    running = [own.view(1, 2).half(), torch.tensor([rank]), own.double()]
    ranks.average_over_ranks(running)
    ranks.wait_for_all()
    said = {
        "sum": ranks.sum_over_ranks(own),
        "count": ranks.sum_over_ranks(torch.tensor([rank + 1])),
        "mean": ranks.mean_over_ranks(own),
        "scalar": ranks.mean_over_ranks(own[0]),
        "first": ranks.from_first_rank(own),
        "largest": largest,
        "flag": flag,
        "running": running,
        "all": ranks.of_all_ranks([rank, "of", [2]]),
        "who": (ranks.rank(), ranks.processes(), ranks.is_first_rank(), list(ranks.own_share(5))),
        "untouched": torch.equal(own, before),
    }
    torch.save(said, folder / f"{rank}.pt")


@pytest.mark.slow
@POSIX
def test_two_processes_share(tmp_path: Path) -> None:
    on_two(share, tmp_path)
    for rank in range(2):
        said = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert said["sum"].tolist() == [5.0, 10.0] and said["mean"].tolist() == [2.5, 5.0]
        assert said["count"].tolist() == [3] and said["count"].dtype == torch.int64
        assert said["scalar"].shape == () and float(said["scalar"]) == 2.5
        assert said["first"].tolist() == [1.0, 8.0] and said["largest"].tolist() == [4.0, 8.0]
        assert said["flag"].shape == () and float(said["flag"]) == 1.0
        half, whole, double = said["running"]
        assert half.tolist() == [[2.5, 5.0]] and half.dtype == torch.float16 and double.tolist() == [2.5, 5.0]
        assert whole.tolist() == [rank], "whole numbers are left alone"
        assert said["all"] == [[0, "of", [2]], [1, "of", [2]]]
        assert said["who"] == (rank, 2, rank == 0, [0, 2, 4] if rank == 0 else [1, 3])
        assert said["untouched"], "a shared value is a new one"
