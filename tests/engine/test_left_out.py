"""Pictures that a review rejected are not trained on, by a run's review, a JSON file or a plain list of names; those
accepted can be chosen alone; and a run goes on only with the pictures that it began with."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from tests.tiny import QUIET, tiny

from segue.data.review import REVIEW_FILE, Review, digest_of, read_review, write_review
from segue.data.streets.dataset import StreetScenes
from segue.engine.domains import open_domain
from segue.engine.run import train
from segue.engine.settings import Experiment


def reviewed(run: Path, rejected: list[str], accepted: list[str] | None = None) -> Path:
    write_review(run, Review(len(NAMES), digest_of(NAMES), accepted or [], rejected))
    return run


def wanted(**target: Any) -> Experiment:
    # Six steps of two pictures show each of six more than once.
    lists = {key: str(value) for key, value in target.items()}
    return tiny("dacs", {"steps": 6, "data": {"evaluation": None, "target": lists}})


def names_of(experiment: Experiment) -> list[str]:
    target = open_domain(experiment.data, experiment.data.target, labelled=False)
    return [target.name(index) for index in range(len(target))]


NAMES = names_of(tiny("dacs"))


def trained_on(
    experiment: Experiment, folder: Path, monkeypatch: pytest.MonkeyPatch, console: Console = QUIET
) -> set[str]:
    """The names of the target pictures that a training opens."""
    opened: set[str] = set()
    image = StreetScenes.image

    def watched(self: StreetScenes, index: int) -> torch.Tensor:
        if self.domain == "target":
            opened.add(self.name(index))
        return image(self, index)

    with monkeypatch.context() as patched:
        patched.setattr(StreetScenes, "image", watched)
        train(experiment, folder, console=console, cpu=True)
    return opened


@pytest.mark.slow
def test_rejected_pictures_are_not_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    review = reviewed(tmp_path / "first", NAMES[1:3])
    console = Console(file=io.StringIO(), record=True, width=200)
    seen = trained_on(wanted(rejected=review), tmp_path / "run", monkeypatch, console)
    assert seen == set(NAMES) - set(NAMES[1:3])
    assert "2 target pictures are left out (data.target.rejected)." in console.export_text()
    assert trained_on(wanted(), tmp_path / "all", monkeypatch) == set(NAMES)


@pytest.mark.slow
def test_a_run_does_not_go_on_with_other_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    review = reviewed(tmp_path / "first", NAMES[1:3])
    short = wanted(rejected=review).model_copy(update={"steps": 1})
    train(short, tmp_path / "run", console=QUIET, cpu=True)
    reviewed(review, NAMES[1:4])
    with pytest.raises(ValueError, match="was changed since it began"):
        train(short, tmp_path / "run", console=QUIET, cpu=True)
    reviewed(review, NAMES[1:3])
    train(short, tmp_path / "run", console=QUIET, cpu=True)


def test_lists_come_from_a_run_a_review_or_a_text_file(tmp_path: Path) -> None:
    run = reviewed(tmp_path / "run", NAMES[:2], NAMES[4:])
    plain = tmp_path / "list.txt"
    plain.write_text("\n".join(NAMES[:2]) + "\n")
    short = tmp_path / "short.json"
    short.write_text(json.dumps({"rejected": NAMES[:2]}))
    for path in (run, run / REVIEW_FILE, plain, short):
        assert names_of(wanted(rejected=path)) == NAMES[2:]
    assert names_of(wanted(names=run)) == NAMES[4:]
    assert names_of(wanted(names=plain)) == NAMES[:2]
    assert names_of(wanted(names=run, rejected=run)) == NAMES[4:]


def test_parts_do_not_move_when_a_picture_is_rejected(tmp_path: Path) -> None:
    """Else pictures of a part that is evaluated on would be trained on."""
    plain = tmp_path / "list.txt"
    plain.write_text(f"{NAMES[0]}\n")
    data = {"target": {"part": [0, 2], "rejected": str(plain)}}
    assert names_of(tiny("dacs", {"data": data})) == [NAMES[2], NAMES[4]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no review in this folder: make one with `segue view`"),
        ('{"rejected": []}', "no picture is rejected here"),
        ('{"rejected": ["elsewhere"]}', "no picture 'elsewhere' here"),
        ('{"rejected": 3}', "no review"),
        ('{"rejected": [3]}', "no review"),
        ("[1", "no review"),
        (json.dumps({"rejected": NAMES}), "nothing is left to train on"),
    ],
)
def test_a_wrong_list_is_refused_in_one_line(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / REVIEW_FILE).write_text(content)
    with pytest.raises((ValueError, FileNotFoundError), match=said) as refused:
        names_of(wanted(rejected=tmp_path))
    assert REVIEW_FILE in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_review_is_read_as_it_was_written(tmp_path: Path) -> None:
    review = Review(3, digest_of(["a", "b/ä", "c"]), ["b/ä"], ["a"])
    write_review(tmp_path, review)
    assert read_review(tmp_path / REVIEW_FILE) == review
