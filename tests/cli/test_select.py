"""segue select, suggest and train --few on tiny runs: what they print, choose and refuse."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.tiny import QUIET, tiny, write_model
from typer.testing import CliRunner, Result

from segue.cli.main import app
from segue.data.streets.dataset import StreetScenes
from segue.engine.stages import train
from segue.evaluation import evidence
from segue.models.weights import load_model

FEW = 3


def invoke(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run from an untrained model with two checkpoints, and a folder of three labelled target pictures."""
    folder = tmp_path_factory.mktemp("chosen")
    wanted = tiny("daformer", {"data": {"evaluation": None}, "evidence": {"pictures": 2}})
    write_model(wanted, folder / "start")
    train(
        tiny(
            "daformer",
            {
                "data": {"evaluation": None},
                "evidence": {"pictures": 2},
                "network": {"start": str(folder / "start")},
            },
        ),
        folder / "run", console=QUIET, cpu=True,
    )  # fmt: skip
    scenes = StreetScenes("target", split="val", count=FEW, size=(128, 256), seed=0)
    for kind in ("images", "labels"):
        (folder / "probe" / kind).mkdir(parents=True)
    for index in range(FEW):
        image = scenes.image(index).permute(1, 2, 0).contiguous().numpy()
        Image.fromarray(image).save(folder / "probe" / "images" / f"{index}.png")
        Image.fromarray(scenes.label(index).numpy().astype(np.uint8)).save(
            folder / "probe" / "labels" / f"{index}.png"
        )
    return folder


def test_recorded_checkpoints_are_ranked_and_the_chosen_one_is_written(place: Path, tmp_path: Path) -> None:
    done = invoke("select", place / "run", "--out", tmp_path / "model", "--json", tmp_path / "found.json")
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "found.json").read_text())
    assert {one["name"] for one in found["candidates"]} == {"run, the start", "run at 2", "run at 3"}
    assert f"chosen: {found['chosen']}" in done.output and "what each measure prefers" in done.output
    _, card = load_model(tmp_path / "model")
    chosen = next(one for one in found["candidates"] if one["name"] == found["chosen"])
    assert card.step == chosen["step"]


@pytest.mark.slow
def test_a_probe_says_how_far_to_trust_the_choice(place: Path, tmp_path: Path) -> None:
    done = invoke("select", place / "run", "--probe", place / "probe", "--json", tmp_path / "found.json")
    assert done.exit_code == 0, done.output
    assert "rank correlation" in done.output and "on the labelled pictures it loses" in done.output
    found = json.loads((tmp_path / "found.json").read_text())
    assert all(0 <= one["mean_iou"] <= 1 for one in found["candidates"])


def test_what_was_not_recorded_is_measured(place: Path, tmp_path: Path) -> None:
    """Without its record the run's kept checkpoints give the same values as in training."""
    known = json.loads((place / "run" / evidence.RECORD_FILE).read_text())
    done = invoke("select", place / "run", "--measure", "--json", tmp_path / "found.json")
    assert done.exit_code == 0, done.output
    found = {
        one["step"]: one["values"] for one in json.loads((tmp_path / "found.json").read_text())["candidates"]
    }
    assert found.keys() == {row["step"] for row in known["rows"]}
    for row in known["rows"]:
        assert found[row["step"]] == pytest.approx(row["values"], abs=1e-6)


def test_runs_that_were_measured_otherwise_are_refused(place: Path, tmp_path: Path) -> None:
    train(tiny("source_only", {"steps": 1}), tmp_path / "other", console=QUIET, cpu=True)
    done = invoke("select", place / "run", tmp_path / "other")
    assert done.exit_code != 0 and "--measure" in str(done.exception)
    assert invoke("select", tmp_path / "nowhere").exit_code != 0


def test_options_that_would_do_nothing_are_refused(place: Path) -> None:
    unused = invoke("select", place / "run", "--pictures", 2)
    assert "goes with --measure" in str(unused.exception)
    assert "--probe, which is not given" in str(invoke("select", place / "run", "--split", "val").exception)


def test_suggest_names_different_pictures_with_reasons(place: Path, tmp_path: Path) -> None:
    done = invoke("suggest", place / "run", "--count", 3, "--json", tmp_path / "named.json")
    assert done.exit_code == 0, done.output
    named = json.loads((tmp_path / "named.json").read_text())
    assert len({one["name"] for one in named}) == 3 and all(one["name"] in done.output for one in named)
    assert all(one["doubt"] > 0 and one["least_sure_of"] for one in named)


@pytest.mark.slow
def test_a_few_labelled_pictures_are_trained_on_and_it_is_said(place: Path, tmp_path: Path) -> None:
    settings = (
        "data.workers=0", "data.crop=[64,64]", "data.evaluation.pictures=1", "data.source_evaluation=null",
        "data.source.pictures=4", "data.target.pictures=4", "run.draw_every=0", "data.few_share=1.0",
    )  # fmt: skip
    done = invoke(
        "train", "dacs", "--pair", "street_scenes", "--steps", 2, "--cpu", "--few", place / "probe", "--out",
        tmp_path / "run", *(word for one in settings for word in ("--set", one)),
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "3 labelled target pictures are trained on" in done.output
    assert "No evidence that it helped" in " ".join(done.output.split())
    page = (tmp_path / "run" / "report.html").read_text()
    assert "A few labelled target pictures were trained on" in page and 'id="evidence"' in page
