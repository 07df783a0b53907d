"""Members' students: what they learn, from where, of which pictures; and that measuring decides nothing.

Training is stubbed: a student is the untrained network that its experiment describes.
"""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.tiny import ready, tiny, write_model

from segue.engine import stages
from segue.engine.domains import open_domain
from segue.engine.experiment import revise
from segue.engine.settings import Experiment
from segue.evaluation.model import TrainedModel
from segue.evaluation.reestimation import reestimate
from segue.models.weights import save_model

pytestmark = pytest.mark.slow


class Recorded:
    """Stands in the place of a training run, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: dict[str, Experiment] = {}
        self.said = io.StringIO()

    def __call__(self, experiment: Experiment, folder: Path, **_: Any) -> None:
        self.asked[folder.name] = experiment
        write_model(experiment, folder / "model", seed=len(folder.name))
        for name in ("scores.json", "metrics.jsonl", "timing.jsonl"):
            (folder / name).write_text("{}")


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    found = Recorded()
    monkeypatch.setattr(stages.run, "train", found)
    return found


def train(recorded: Recorded, tmp_path: Path, run: str, *wishes: dict[str, Any]) -> dict[str, Any]:
    """An ensemble of two members; what ``fusion.json`` says of it."""
    wanted = revise(ready(tiny("ensemble"), tmp_path / "members"), *wishes)
    stages.train(wanted, tmp_path / run, console=Console(file=recorded.said, width=300), cpu=True)
    return json.loads((tmp_path / run / "fused/fusion.json").read_text())


def students(**wish: Any) -> dict[str, Any]:
    return {"method": {"ensemble": {"students": wish}}}


def test_members_students_learn_plainly_and_the_last_one_as_the_recipe_says(
    recorded: Recorded, tmp_path: Path
) -> None:
    """Class weights and mining make a student less sure of all it names: they are the last student's alone."""
    train(recorded, tmp_path, "run")
    for name in ("one", "two"):
        method = recorded.asked[name].method
        assert method.weights is None and method.percentile == 0.0
        assert recorded.asked[name].data.target.part is None
    last = recorded.asked["student"].method
    assert last.weights is not None and last.percentile == 80.0


def test_what_members_students_learn_is_a_setting(recorded: Recorded, tmp_path: Path) -> None:
    start = tmp_path / "start"
    write_model(tiny("ensemble"), start)
    common = {"network": {"start": str(start)}}
    wish = students(share=2.0, pictures="halves", weights={"weight": 3.0}, percentile=50.0)
    train(recorded, tmp_path, "run", common, wish)
    one = recorded.asked["one"]
    assert one.steps == 6 and recorded.asked["student"].steps == 3
    assert one.method.weights.weight == 3.0 and one.method.percentile == 50.0
    assert one.network.start == start
    train(recorded, tmp_path, "plain", common, students(start="weights"))
    assert recorded.asked["one"].network.start is None and recorded.asked["student"].network.start == start
    train(recorded, tmp_path, "other", students(start=str(start)))
    assert recorded.asked["one"].network.start == start and recorded.asked["student"].network.start is None


def test_halves_are_learnt_and_measured_apart(recorded: Recorded, tmp_path: Path) -> None:
    """No picture whose certainty counts was learnt; the last student learns all of them."""
    train(recorded, tmp_path, "run", students(pictures="halves"))
    run = tmp_path / "run"
    everything = sorted(path.name for path in (run / "members/one/labels/index").glob("*.png"))
    assert recorded.asked["one"].data.target.part == (0, 2) and len(everything) == 6
    measured = sorted(path.name for path in (run / "members/one/certainty/index").glob("*.png"))
    assert measured == everything[1::2]
    assert json.loads((run / "members/one/certainty/statistics.json").read_text())["pictures"] == 3
    assert recorded.asked["student"].data.target.part is None


def test_a_student_that_starts_from_a_member_is_told(recorded: Recorded, tmp_path: Path) -> None:
    ready(tiny("ensemble"), tmp_path / "members")
    train(recorded, tmp_path, "run", {"network": {"start": str(tmp_path / "members/two")}})
    assert "students start from member two" in recorded.said.getvalue()
    train(recorded, tmp_path, "plain")
    assert recorded.said.getvalue().count("students start from member") == 1


def test_measuring_is_always_said_and_decides_nothing(recorded: Recorded, tmp_path: Path) -> None:
    """With labelled pictures and without, the same policy and the same labels."""
    measured = train(recorded, tmp_path, "run")
    said = recorded.said.getvalue()
    for part in ("used: certainty", "best member: ", "majority", "5 random policies", "oracle policy"):
        assert part in said
    blind = train(recorded, tmp_path, "blind", {"data": {"evaluation": None}})
    assert "no labelled target pictures" in recorded.said.getvalue()
    assert measured["compared"]["pictures"] == 2 and blind["compared"] is None
    assert {**measured, "compared": None} == blind
    one, other = ({p.name: p.read_bytes() for p in (tmp_path / run / "fused/index").glob("*.png")}
                  for run in ("run", "blind"))  # fmt: skip
    assert one == other and len(one) == 6


def test_folders_of_labels_have_none_of_the_labelled_pictures(recorded: Recorded, tmp_path: Path) -> None:
    train(recorded, tmp_path, "first")
    folder = tmp_path / "first/members/one/labels"
    found = train(recorded, tmp_path, "run", {"method": {"ensemble": {"members": {"one": str(folder)}}}})
    assert "member one is a folder of labels" in recorded.said.getvalue() and found["compared"] is None


def test_a_majority_is_compared_too(recorded: Recorded, tmp_path: Path) -> None:
    found = train(recorded, tmp_path, "run", {"method": {"ensemble": {"kind": "pixel"}}})
    assert found["policy_from"] is None and found["compared"]["used"] == found["compared"]["majority"]
    assert "used: pixel" in recorded.said.getvalue() and set(recorded.asked) == {"student"}


def test_rare_classes_come_first(recorded: Recorded, tmp_path: Path) -> None:
    """Which ones they are is counted over all members' labels of the target."""
    found = train(recorded, tmp_path, "run", {"method": {"ensemble": {"conflict": "order", "order": "rare"}}})
    named = [sum(column) for column in zip(*found["named"], strict=True)]
    assert found["rules"]["order"] == sorted(range(12), key=lambda name: (named[name], name))
    assert found["rules"]["order"] != list(range(12))


def test_members_may_predict_by_the_targets_statistics(recorded: Recorded, tmp_path: Path) -> None:
    """As the same members do that were saved with these; otherwise by what they were saved with."""
    kind = {"kind": "pixel"}
    wanted = ready(tiny("ensemble"), tmp_path / "members")
    pictures = open_domain(wanted.data, wanted.data.target, labelled=False)
    for name in ("one", "two"):
        model = TrainedModel.load(tmp_path / "members" / name)
        reestimate(model, pictures)
        save_model(tmp_path / "moved" / name, model.network, model.card)
    moved = {"members": {name: str(tmp_path / "moved" / name) for name in ("one", "two")}}
    for run, wish in {"saved": {}, "target": {"statistics": "target"}, "moved": moved}.items():
        train(recorded, tmp_path, run, {"method": {"ensemble": kind | wish}})
    saved, target, same = (
        {path.name: path.read_bytes() for path in (tmp_path / run / "fused/index").glob("*.png")}
        for run in ("saved", "target", "moved")
    )
    assert target == same != saved
