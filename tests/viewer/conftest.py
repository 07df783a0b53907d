"""A tiny run to look at, which a test may change."""

import shutil
from pathlib import Path

import pytest
from tests.tiny import QUIET, tiny, write_model

from segue.engine.experiment import revise
from segue.engine.settings import Experiment
from segue.engine.stages import train


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("viewer")
    wanted = tiny("dacs", {"data": {"evaluation": None, "target": {"pictures": 30}}, "steps": 2})
    write_model(wanted, folder / "start")
    started: Experiment = revise(wanted, {"network": {"start": str(folder / "start")}})
    train(started, folder / "run", console=QUIET, cpu=True)
    return folder / "run"


@pytest.fixture
def run(whole_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole_run, tmp_path / "run"))
