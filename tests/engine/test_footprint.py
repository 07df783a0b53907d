"""Memory is estimated before it is taken: near what a training takes, and absurd wishes are refused at once."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console
from tests.tiny import tiny

from segue.engine.experiment import revise
from segue.engine.footprint import check_footprint, footprint

CPU = torch.device("cpu")
MEASURE = """
import io, sys
from pathlib import Path
import torch
from rich.console import Console
from segue.engine.run import train
from segue.memory import highest_mib, keep_memory
from tests.tiny import tiny
torch.set_num_threads(1)
keep_memory()
wishes = {"network": {"encoder": "mit_b0", "channels": 64},
          "data": {"crop": [128, 128], "batch": 8, "evaluation": None},
          "run": {"draw_every": 0}}
train(tiny("daformer", wishes), Path(sys.argv[1]), console=Console(file=io.StringIO()), cpu=True)
print(highest_mib())
"""


def test_what_an_error_recommends_needs_less() -> None:
    """Stages that are computed again, and half precision."""
    wanted = tiny("daformer", {"network": {"encoder": "mit_b0"}, "data": {"crop": [256, 256]}})
    needed = footprint(wanted)
    again = footprint(revise(wanted, {"network": {"checkpoint_stages": [1, 2, 3, 4]}}))
    half = footprint(revise(wanted, {"run": {"precision": "bf16"}}))
    assert needed is not None and again is not None and half is not None
    assert again < needed and half < needed


def test_absurd_wishes_are_refused_at_once() -> None:
    console = Console(file=io.StringIO())
    for change in (
        {"data": {"batch": 10**6}},
        {"data": {"crop": [32768, 32768]}},
        {"network": {"channels": 65536}},
    ):
        with pytest.raises(
            ValueError, match=r"about .* GiB of memory are needed, .* are free: smaller data.batch"
        ):
            check_footprint(
                tiny("daformer", {"network": {"encoder": "mit_b0"}}, change), CPU, console=console
            )


def test_usual_wishes_are_told_and_every_encoder_can_be_traced() -> None:
    console = Console(file=io.StringIO(), width=200)
    for encoder in ("mit_nano", "mobilenet_v2", "resnet50_v1c", "vit_tiny_6"):
        check_footprint(tiny("daformer", {"network": {"encoder": encoder}}), CPU, console=console)
    assert console.file.getvalue().count("of memory are needed") == 4
    assert footprint(tiny("hrda")) is not None


@pytest.mark.slow
def test_the_estimate_is_near_what_a_training_takes(tmp_path: Path) -> None:
    wishes = {"network": {"encoder": "mit_b0", "channels": 64}, "data": {"crop": [128, 128], "batch": 8}}
    estimated = footprint(tiny("daformer", wishes))
    assert estimated is not None
    said = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "run")], capture_output=True, text=True, check=True
    )
    taken = float(said.stdout.split()[-1]) * 2**20
    assert 0.5 < estimated / taken < 2, (estimated / 2**30, taken / 2**30)
