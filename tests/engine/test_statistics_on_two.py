"""Two processes estimate batch statistics as one does, and keep those of each domain equal while they train."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from tests.processes import POSIX, forget_processes, on_two
from tests.tiny import tiny, write_model

from segue.engine.domains import open_domain
from segue.engine.settings import Experiment
from segue.engine.stages import train
from segue.evaluation.model import TrainedModel
from segue.evaluation.reestimation import reestimate
from segue.models.batch_norms import batch_norms
from segue.ranks import join

pytestmark = [pytest.mark.slow, POSIX]


def estimated(wanted: Experiment, folder: Path) -> list[torch.Tensor]:
    model = TrainedModel.load(folder, "cpu")
    reestimate(model, open_domain(wanted.data, wanted.data.target, labelled=False))
    assert model.batch_statistics == "of 11 target pictures"
    return [value for norm in batch_norms(model.network) for value in (norm.running_mean, norm.running_var)]


def estimate(rank: int, wanted: Experiment, folder: Path) -> None:
    join(cpu=True, timeout=timedelta(minutes=5))
    torch.save(estimated(wanted, folder), folder / f"{rank}.pt")


def keep_training(rank: int, wanted: Experiment, folder: Path) -> None:
    train(wanted, folder / "run", console=Console(quiet=True), cpu=True)


def test_two_processes_estimate_what_one_does(tmp_path: Path) -> None:
    """Eleven pictures are three batches, two of which are the first process's."""
    wanted = tiny(
        "source_only", {"network": {"encoder": "mobilenet_v2"}, "data": {"target": {"pictures": 11}}}
    )
    write_model(wanted, tmp_path)
    on_two(estimate, wanted, tmp_path)
    alone = estimated(wanted, tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    for one, mine, other in zip(alone, first, second, strict=True):
        assert torch.equal(mine, other)
        assert torch.allclose(one, mine, rtol=1e-6, atol=1e-9)  # sums in another order, in float64


@pytest.mark.parametrize("statistics", ["target", "domain"])
def test_a_run_on_two_processes_ends(statistics: str, tmp_path: Path) -> None:
    """Nobody waits for a sum that another one never makes; the saved statistics are those that were scored."""
    forget_processes()
    on_two(
        keep_training,
        tiny("daformer", {"network": {"statistics": statistics}}),
        tmp_path,
    )
    said = json.loads((tmp_path / "run/model/card.json").read_text())
    assert said["batch_statistics"] == {"target": "of 6 target pictures"}.get(statistics, "domain-specific")
    kept = load_file(tmp_path / "run/checkpoints/0000003/method.safetensors")
    assert any(name.startswith("source_statistics.") for name in kept) == (statistics == "domain")
