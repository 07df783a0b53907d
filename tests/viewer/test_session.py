"""A run is looked at picture by picture: nothing is read before it is asked for, and nothing is predicted twice."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segue.api import load
from segue.data.picture_files import PictureFiles
from segue.data.review import REVIEW_FILE, read_review
from segue.data.streets.dataset import StreetScenes
from segue.engine.checkpoint import METHOD_FILE, list_checkpoints
from segue.engine.experiment import load as load_experiment
from segue.engine.experiment import revise, save
from segue.evaluation.model import TrainedModel
from segue.viewer import session as sessions
from segue.viewer.gallery import Wanted
from segue.viewer.kept_facts import FILE
from segue.viewer.session import LAYERS, Session


def opened(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGBA"))


def test_layers_and_measures_are_those_of_the_models(run: Path) -> None:
    session = Session(run, "cpu")
    look = session.look(3)
    assert set(look.layers) == set(LAYERS)
    image = session._pictures.image(3)  # pyright: ignore[reportPrivateUsage]
    after, teacher = load(run, "cpu").predict(image), load(run, "cpu", teacher=True).predict(image)
    start = session.experiment.network.start
    assert start is not None
    before = TrainedModel.load(start, "cpu").predict(image)
    for name, found in (("after", after), ("before", before), ("teacher", teacher)):
        assert np.array_equal(opened(look.layers[name])[..., :3], found.colours)
    assert look.facts.changed == pytest.approx(float((after.index != before.index).mean()), abs=1e-4)
    different = after.index != teacher.index
    assert look.facts.disagreement == pytest.approx(float(different.mean()), abs=1e-4)
    assert np.array_equal(opened(look.layers["disagreement"])[..., 3] > 0, different)
    assert look.facts.doubt == pytest.approx(1 - float(after.confidence.mean()), abs=1e-3)
    assert 0 < look.facts.entropy < 1 and sum(look.facts.shares.values()) == pytest.approx(1, abs=1e-3)
    assert look.facts.shares.keys() == {after.classes.names[k] for k in np.unique(after.index)}


def test_nothing_is_read_before_it_is_asked_for_and_nothing_predicted_twice(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    predicted: list[int] = []
    image, look = StreetScenes.image, sessions.look
    load_networks = TrainedModel.load

    def watched(self: StreetScenes, index: int) -> torch.Tensor:
        read.append(index)
        return image(self, index)

    def counted(networks: object, picture: torch.Tensor) -> object:
        predicted.append(1)
        return look(networks, picture)  # pyright: ignore[reportArgumentType]

    def refused(*_: object) -> None:
        raise AssertionError("weights were read")

    monkeypatch.setattr(StreetScenes, "image", watched)
    monkeypatch.setattr(sessions, "look", counted)
    monkeypatch.setattr(TrainedModel, "load", refused)
    session = Session(run, "cpu")
    assert len(session.gallery.names) == 30 and read == [] and not (run / "view").exists()
    monkeypatch.setattr(TrainedModel, "load", load_networks)
    done: list[tuple[int, int]] = []
    assert session.measure(4, lambda *numbers: done.append(numbers)) == 4
    assert done[-1] == (4, 4) and read == [0, 7, 15, 22] and len(predicted) == 4
    session.look(7)
    assert len(predicted) == 4
    later = Session(run, "cpu")
    assert later.gallery.facts == session.gallery.facts and len(predicted) == 4
    known = json.loads((run / FILE).read_text())
    (run / FILE).write_text(json.dumps(known | {"key": "of other networks"}))
    assert Session(run, "cpu").gallery.facts == {}
    (run / FILE).write_text("[half")
    assert Session(run, "cpu").gallery.facts == {}


def test_decisions_are_on_disk_at_once_and_read_again(run: Path) -> None:
    session = Session(run, "cpu")
    session.decide(4, "rejected")
    session.decide(2, "accepted")
    names = session.gallery.names
    assert read_review(run / REVIEW_FILE) == session.gallery.review()
    assert read_review(run / REVIEW_FILE).rejected == [names[4]]
    assert Session(run, "cpu").gallery.decisions == {4: "rejected", 2: "accepted"}
    session.decide(4, None)
    assert read_review(run / REVIEW_FILE).rejected == []
    assert not list(run.glob(".*part"))


def test_pictures_have_places_and_kinds_and_no_paths(run: Path) -> None:
    session = Session(run, "cpu")
    content, media = session.content(0, "thumbnail")
    assert media == "image/jpeg" and max(Image.open(io.BytesIO(content)).size) <= sessions.THUMBNAIL
    assert session.content(0, "confidence")[1] == "image/png"
    for place, kind in ((-1, "picture"), (30, "picture"), (0, "../experiment.yaml"), (0, "layers")):
        with pytest.raises(LookupError):
            session.content(place, kind)


def test_a_run_that_still_trains_is_looked_at_by_its_newest_checkpoint(run: Path) -> None:
    trained = Session(run, "cpu").look(0)
    (run / "model" / "model.safetensors").unlink()
    assert Session(run, "cpu").look(0).facts == trained.facts


def test_a_teacher_that_cannot_be_read_is_not_taken_for_none(run: Path) -> None:
    (newest,) = list_checkpoints(run / "checkpoints")[-1:]
    (newest / METHOD_FILE).write_bytes(b"cut short")
    with pytest.raises(ValueError, match=METHOD_FILE):
        Session(run, "cpu").look(3)


def test_what_is_no_run_or_has_no_model_is_refused_in_one_line(run: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="not a run folder; give one that `segue train` wrote"):
        Session(tmp_path, "cpu")
    (run / "model" / "model.safetensors").unlink()
    for checkpoint in (run / "checkpoints").iterdir():
        checkpoint.rename(tmp_path / checkpoint.name)
    with pytest.raises(FileNotFoundError, match="neither a model nor a checkpoint yet"):
        Session(run, "cpu")
    (run / REVIEW_FILE).write_text("{")


def test_five_thousand_pictures_are_opened_by_their_names_alone(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    Image.new("RGB", (64, 32), "teal").save(folder / "0000.jpg")
    for number in range(1, 5000):
        os.link(folder / "0000.jpg", folder / f"{number:04d}.jpg")
    experiment = load_experiment(run / "experiment.yaml")
    unset = dict.fromkeys(("split", "pictures", "domain", "size"))
    target = {"dataset": "folder", "root": str(folder), **unset}
    save(revise(experiment, {"data": {"target": target}}), run / "experiment.yaml")
    read: list[int] = []
    image = PictureFiles.image

    def watched(self: PictureFiles, index: int) -> torch.Tensor:
        read.append(index)
        return image(self, index)

    monkeypatch.setattr(PictureFiles, "image", watched)
    session = Session(run, "cpu")
    page = session.gallery.page(Wanted(), 0)
    assert page[2] == 5000 and read == []
    session.content(4321, "thumbnail")
    assert read == [4321]
