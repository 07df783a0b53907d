"""Training from tar shards equals training from the same files bit by bit: in one go, resumed, and on two processes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.processes import POSIX, on_two
from tests.shards import pack
from tests.street_folders import write_folder
from tests.tiny import QUIET, assert_same_tensors, stopped_after_two_steps, tiny

from segue import ranks
from segue.data import tars
from segue.data.loader import Loader
from segue.data.streets.dataset import STREET_CLASSES
from segue.engine.build import build_loader
from segue.engine.domains import open_domain
from segue.engine.settings import Experiment
from segue.engine.stages import train

KEPT = ("metrics.jsonl", "scores.json", "model/model.safetensors")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both domains, as folders and as shards."""
    root = tmp_path_factory.mktemp("data")
    for role in ("source", "target"):
        write_folder(root / "files" / role, role, split="train", count=5, size=(64, 128))
        pack(root / "files" / role, root / "shards" / role)
    return root


def wanted(root: Path, *wishes: dict[str, Any]) -> Experiment:
    """DAFormer with rare class sampling, scored on the target."""
    own = {"dataset": "folder", "pictures": None, "domain": None, "split": None}
    roles = {"source": "source", "target": "target", "evaluation": "target"}
    domains = {role: {**own, "root": str(root / place)} for role, place in roles.items()}
    changes = {"classes": list(STREET_CLASSES.names), "source_evaluation": None, **domains}
    return tiny("daformer", {"data": changes}, *wishes)


def loader(root: Path, *, rank: int = 0, world: int = 1, workers: int = 0) -> Loader:
    experiment = wanted(root, {"data": {"workers": workers}})
    return build_loader(
        experiment,
        open_domain(experiment.data, experiment.data.source, labelled=True),
        open_domain(experiment.data, experiment.data.target, labelled=False),
        statistics_cache=root / "counted.json",
        device=torch.device("cpu"),
        rank=rank,
        world=world,
        reading=experiment.method.reading(experiment.recipe),
    )


def assert_equal_runs(one: Path, other: Path) -> None:
    for name in KEPT:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    files = [path.relative_to(one) for path in one.rglob("*.safetensors")]
    assert any("optimizer" in path.name for path in files)
    for file in files:
        assert_same_tensors(one / file, other / file)


def test_batches_are_equal(data: Path) -> None:
    both: list[list[Any]] = []
    for root in (data / "files", data / "shards"):
        found: list[Any] = []
        for rank in range(2):
            found += loader(root, rank=rank, world=2, workers=rank).steps(0, 3)
        both.append(found)
    for one, other in zip(*both, strict=True):
        assert one.source.names == other.source.names and one.target.names == other.target.names
        for half in ("source", "target"):
            assert torch.equal(getattr(one, half).image, getattr(other, half).image)
        assert torch.equal(one.source.label, other.source.label)


@pytest.mark.slow
def test_three_steps_are_equal_and_resume(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = train(wanted(data / "files"), tmp_path / "files", console=QUIET, cpu=True)
    assert train(wanted(data / "shards"), tmp_path / "shards", console=QUIET, cpu=True) == scores
    assert_equal_runs(tmp_path / "files", tmp_path / "shards")
    with stopped_after_two_steps(monkeypatch):
        train(wanted(data / "shards"), tmp_path / "broken", console=QUIET, cpu=True)
    train(wanted(data / "shards"), tmp_path / "broken", console=QUIET, cpu=True)
    assert_equal_runs(tmp_path / "shards", tmp_path / "broken")


def learn(rank: int, data: Path, out: Path) -> None:
    """The second process looks into no archive: it only reads pictures at places that it was told."""
    ranks.join(cpu=True)
    if rank == 1:
        tars.index_all = None  # type: ignore[assignment]
    train(wanted(data), out, console=QUIET, cpu=True)


@pytest.mark.slow
@POSIX
def test_two_processes_are_equal(data: Path, tmp_path: Path) -> None:
    for kind in ("files", "shards"):
        on_two(learn, data / kind, tmp_path / kind)
    assert_equal_runs(tmp_path / "files", tmp_path / "shards")


def test_a_shard_that_changes_ends_the_run(data: Path, tmp_path: Path) -> None:
    shards = pack(data / "files/source", tmp_path / "source")
    pack(data / "files/target", tmp_path / "target")
    steps = loader(tmp_path).steps(0, 50)
    next(steps)
    for shard in shards.glob("*.tar"):
        shard.write_bytes(shard.read_bytes() + bytes(512))
    with pytest.raises(ValueError, match=r"shard-00000\d\.tar: changed since it was looked into"):
        list(steps)
