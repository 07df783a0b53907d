"""A run measures itself without target labels: what is recorded and set aside, and that training is not touched."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tiny import QUIET, assert_same_tensors, stopped_after_two_steps, tiny, write_model

from segue.data.streets.dataset import StreetScenes
from segue.engine import run as engine_run
from segue.engine.experiment import revise
from segue.engine.settings import Experiment
from segue.engine.stages import train
from segue.engine.witness import Sets, is_previewed, trained_on
from segue.evaluation import evidence
from segue.evaluation.unlabelled import MEASURES

UNSCORED = {"data": {"evaluation": None}}


def begun(tmp_path: Path, *wishes: dict[str, Any]) -> Experiment:
    """DAFormer from an untrained model that stands for a trained one."""
    wanted = tiny("daformer", UNSCORED, {"evidence": {"pictures": 2}}, *wishes)
    write_model(wanted, tmp_path / "start")
    return revise(wanted, {"network": {"start": str(tmp_path / "start")}})


def test_every_save_point_is_measured_and_no_target_label_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label = StreetScenes.label

    def closed(self: StreetScenes, index: int) -> torch.Tensor:
        assert self.domain == "source", "a target label was opened"
        return label(self, index)

    monkeypatch.setattr(StreetScenes, "label", closed)
    assert train(begun(tmp_path), tmp_path / "run", console=QUIET, cpu=True) is None
    record = evidence.read(tmp_path / "run")
    assert record is not None and record.adapted and not record.set_aside
    assert [row.step for row in record.rows] == [0, 2, 3] and len(record.pictures) == 2
    for row in record.rows:
        assert row.values.keys() == MEASURES.keys()
        assert row.each.keys() == {name for name, one in MEASURES.items() if one.votes}
        assert all(len(values) == 2 for values in row.each.values())
        assert sum(row.shares) == pytest.approx(1, abs=1e-5)
    assert record.rows[0].values["agreement"] is None and record.rows[1].values["agreement"] is not None
    assert record.rows[0].values["drift_from_start"] is None
    assert record.rows[2].values["drift_from_start"] is not None
    index = json.loads((tmp_path / "run" / evidence.PICTURES / "index.json").read_text())
    assert [entry["name"] for entry in index] == record.pictures
    assert all((tmp_path / "run" / entry[kind]).is_file() for entry in index for kind in ("before", "after"))
    assert all(0 <= entry["changed"] <= 1 for entry in index)


@pytest.mark.slow
def test_measuring_changes_no_bit_of_training_and_is_resumed_bit_by_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = begun(tmp_path)
    train(wanted, tmp_path / "whole", console=QUIET, cpu=True)
    unseen = revise(wanted, {"evidence": {"pictures": 0}})
    train(unseen, tmp_path / "unseen", console=QUIET, cpu=True)
    assert not (tmp_path / "unseen" / evidence.RECORD_FILE).exists()
    with stopped_after_two_steps(monkeypatch):
        train(wanted, tmp_path / "broken", console=QUIET, cpu=True)
    train(wanted, tmp_path / "broken", console=QUIET, cpu=True)
    for other in ("unseen", "broken"):
        for name in ("method", "optimizer"):
            file = f"checkpoints/0000003/{name}.safetensors"
            assert_same_tensors(tmp_path / "whole" / file, tmp_path / other / file)
    progress = "pictures/progress/0000003.png"  # drawn early, and long before the first picture of the views
    for name in (
        evidence.RECORD_FILE,
        "pictures/target/index.json",
        "pictures/target/001/after.png",
        progress,
    ):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes()


def test_previews_come_early_and_then_ever_more_rarely() -> None:
    early = [step for step in range(5001) if is_previewed(step)]
    assert early == [3, 10, 30, 100, 300, 1000, 3000]


def test_pictures_are_set_aside_where_there_are_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 40 target pictures two are judged by, and the loader never sees them; of 39 all are trained on."""
    given: list[list[str]] = []
    build = engine_run.build_loader

    def watched(experiment: Experiment, source: Any, target: Any, **more: Any) -> Any:
        given.append([target.name(index) for index in range(len(target))])
        return build(experiment, source, target, **more)

    monkeypatch.setattr(engine_run, "build_loader", watched)
    wanted = begun(tmp_path, {"steps": 1, "data": {"target": {"pictures": 40}}})
    train(wanted, tmp_path / "run", console=QUIET, cpu=True)
    record = evidence.read(tmp_path / "run")
    assert record is not None and record.set_aside
    assert len(given[0]) == 38 and not set(given[0]) & set(record.pictures)
    few = revise(wanted, {"data": {"target": {"pictures": 39}}})
    sets = Sets.of(few)
    assert not sets.set_aside and len(trained_on(few, sets.target)) == 39


def test_a_source_only_run_is_measured_but_not_called_adapted(tmp_path: Path) -> None:
    wanted = tiny("source_only", UNSCORED, {"steps": 1, "evidence": {"pictures": 2}})
    train(wanted, tmp_path / "run", console=QUIET, cpu=True)
    record = evidence.read(tmp_path / "run")
    assert record is not None and not record.adapted and record.start is None
    assert record.rows[-1].values["agreement"] is None
