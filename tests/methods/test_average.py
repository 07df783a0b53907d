"""The average of two models is one model: it predicts the mean of their probabilities, for every verb; a run may train
both or take those of other runs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tiny import QUIET, ready, tiny, write_model

from segue.api import evaluate, load, predict
from segue.engine.experiment import revise
from segue.engine.stages import train
from segue.evaluation.model import TrainedModel
from segue.evaluation.open_members import open_members
from segue.models.weights import load_start


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two untrained models and a run that averages them."""
    place = tmp_path_factory.mktemp("average")
    paths = {name: place / name for name in ("advent", "minent")}
    for seed, path in enumerate(paths.values()):
        write_model(tiny("advent"), path, seed=seed)
    given = {
        "method": {"models": {name: str(path) for name, path in paths.items()}},
        "evaluation": {"also": {"two": ["road", "car"]}, "pictures": 1},
    }
    scores = train(tiny("advent_minent", given), place / "both", console=QUIET, cpu=True)
    assert scores == json.loads((place / "both" / "scores.json").read_text())
    return {**paths, "both": place / "both"}


def test_it_predicts_the_mean_probability(folders: dict[str, Path]) -> None:
    picture = torch.randint(0, 256, (1, 3, 96, 128), dtype=torch.uint8)
    one, two, both = (TrainedModel.load(path, "cpu").probabilities(picture) for path in folders.values())
    assert torch.allclose(both, (one + two) / 2, atol=1e-6)
    assert not torch.allclose(one, two, atol=1e-3)


def test_it_is_scored_as_any_run_is(folders: dict[str, Path]) -> None:
    scores = json.loads((folders["both"] / "scores.json").read_text())
    two = [scores["per_class_iou"][name] for name in ("road", "car")]
    assert scores["means"]["two"] == pytest.approx(sum(two) / 2)
    assert scores["source_evaluation"]["mean_iou"] != scores["mean_iou"]
    assert len(list((folders["both"] / "pictures").rglob("prediction.png"))) == 1


def test_verbs_take_it_for_a_model(folders: dict[str, Path], tmp_path: Path) -> None:
    scores = evaluate(folders["both"])
    written = json.loads((folders["both"] / "scores.json").read_text())
    assert scores.mean_iou == pytest.approx(written["mean_iou"])
    model = load(folders["both"], "cpu")
    picture = np.zeros((64, 64, 3), np.uint8)
    from PIL import Image

    Image.fromarray(picture).save(tmp_path / "a.png")
    predict(folders["both"], tmp_path / "a.png", tmp_path / "out")
    assert (tmp_path / "out" / "index" / "a.png").is_file()
    opened = open_members(
        {"average": folders["both"], "advent": folders["advent"]},
        pictures={"a": picture},
        read=lambda shown: torch.from_numpy(shown).permute(2, 0, 1),
        classes=model.classes,
        maps={},
        device=torch.device("cpu"),
    )
    fused = opened.members[0].probability("a")
    assert torch.allclose(fused, model.predict(picture, probabilities=True).probabilities, atol=1e-6)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no layers of its own: name one of its members"):
        model.network.without_each_layer(torch.zeros(1, 3, 64, 64))
    student = TrainedModel.load(folders["advent"], "cpu").network
    with pytest.raises(ValueError, match="networks"):
        load_start(student, folders["both"], model.classes.names)


@pytest.mark.slow
def test_a_run_trains_each_by_its_own_terms(tmp_path: Path) -> None:
    unscored = {"data": {"evaluation": None, "source_evaluation": None}, "steps": 1}
    assert (
        train(ready(tiny("advent_minent", unscored), tmp_path), tmp_path / "run", console=QUIET, cpu=True)
        is None
    )
    logged = {name: (tmp_path / "run" / name / "metrics.jsonl").read_text() for name in ("advent", "minent")}
    assert "target/adversarial" in logged["advent"] and "entropy" not in logged["advent"]
    assert "target/entropy" in logged["minent"] and "discriminator" not in logged["minent"]
    both = TrainedModel.load(tmp_path / "run", "cpu")
    assert [name for name, _ in both.network.named_children()] == ["networks"]


def test_models_that_do_not_fit_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"an average needs two models, found 1: set method\.models"):
        tiny("advent_minent", {"method": {"models": {"a": str(folders["advent"])}}})
    given = {name: str(folders[name]) for name in ("advent", "minent")}
    wanted = tiny("advent_minent", {"method": {"models": given}})
    fewer = revise(wanted, {"data": {"classes": ["road", "car"], "colours": None}})
    with pytest.raises(ValueError, match="are not those of the pair"):
        train(fewer, tmp_path / "run", console=QUIET, cpu=True)
