"""A domain takes the pictures whose names fit its patterns: folders, published sets, errors, and the real pair."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from tests.tiny import tiny

from segue.classes import class_list
from segue.data.folder import ImageFolder
from segue.data.name_patterns import NamePatterns
from segue.data.published import open_published
from segue.data.stand_ins import SampleSet, write_sample
from segue.engine import finished_run
from segue.engine.domains import open_domain
from segue.evaluation.model import TrainedModel
from segue.recipes.catalogue import experiment
from segue.recipes.pairs import pair
from segue.types import IGNORE

AB = class_list(["a", "b"])
NAMES = ["day/A_1", "day/A_2", "night/A_3", "night/B_4"]
Write = Callable[..., Path]


def names(root: Path, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> list[str]:
    found = ImageFolder(root, classes=AB, labelled=True, patterns=NamePatterns(include, exclude))
    found.check()
    return [found.name(index) for index in range(len(found))]


@pytest.mark.parametrize(
    ("include", "exclude", "left"),
    [
        ((), (), NAMES),
        (("A_*",), (), NAMES[:3]),
        (("night/*",), (), NAMES[2:]),
        (("B_4", "day/*"), (), [*NAMES[:2], NAMES[3]]),
        (("A_?",), ("*_[12]",), NAMES[2:3]),
        ((), ("day/*",), NAMES[2:]),
    ],
)
def test_a_pattern_fits_the_end_of_a_path(write_folder: Write, include, exclude, left: list[str]) -> None:
    assert names(write_folder(NAMES), include, exclude) == left


def test_pictures_that_are_not_meant_need_no_label(write_folder: Write) -> None:
    root = write_folder(NAMES)
    next((root / "labels/night").glob("B_4.*")).unlink()
    assert names(root, ("A_*",)) == NAMES[:3]
    with pytest.raises(FileNotFoundError, match="no label"):
        names(root)


@pytest.mark.parametrize("pattern", ["a_*", "A_*.png", "day", "", "/day/A_1"])
def test_a_pattern_that_fits_nothing_is_an_error(write_folder: Write, pattern: str) -> None:
    root = write_folder(NAMES)
    for patterns in ({"include": ("A_*", pattern)}, {"exclude": (pattern,)}):
        with pytest.raises(ValueError, match="no picture fits the pattern") as caught:
            names(root, **patterns)
        assert str(root / "images") in str(caught.value) and repr(pattern) in str(caught.value)
    with pytest.raises(ValueError, match="leaves none of the pictures"):
        names(root, ("A_*",), ("A_*",))


def test_published_sets_take_patterns(tmp_path: Path) -> None:
    root = tmp_path / "new"
    write_sample(root, [SampleSet("camvid", "", ("train",), "target")], pictures=4)
    options = {"split": "train", "classes": AB, "labelled": False}
    whole = open_published("camvid", root, **options)
    one = open_published("camvid", root, **options, patterns=NamePatterns((whole.name(2),)))
    assert [one.name(index) for index in range(len(one))] == [whole.name(2)]
    assert one.fingerprint() != whole.fingerprint()


def test_street_scenes_have_two_splits_and_their_own_classes() -> None:
    """Another split would be scored on training pictures, another list would name classes wrongly."""
    data = tiny("daformer").data
    assert data.evaluation is not None
    with pytest.raises(ValueError, match="unknown split 'test' of the street scenes; choose train or val"):
        open_domain(data, data.evaluation.model_copy(update={"split": "test"}), labelled=True)
    other = data.model_copy(update={"classes": ["car", "road"], "colours": None})
    with pytest.raises(ValueError, match=r"data\.classes: street scenes are labelled with road, sidewalk"):
        open_domain(other, data.source, labelled=True)


def test_street_scenes_are_no_files() -> None:
    wanted = tiny("source_only", {"data": {"target": {"include": ["*"]}}})
    with pytest.raises(ValueError, match="leave out include and exclude"):
        open_domain(wanted.data, wanted.data.target, labelled=False)


def test_day_to_dusk_has_the_pictures_that_it_promises(shared_data: Path) -> None:
    wish = {"data": {"root": str(shared_data)}}
    folder = Path(__file__).resolve().parents[2] / "configs"
    data = experiment("daformer", pair(str(folder / "camvid_day_to_dusk.yaml")), wish).data
    assert data.source_evaluation is not None and data.evaluation is not None
    domains = {
        name: open_domain(data, domain, labelled=name != "target")
        for name, domain in (
            ("source", data.source),
            ("target", data.target),
            ("source_evaluation", data.source_evaluation),
            ("evaluation", data.evaluation),
        )
    }
    counts = {name: len(domain) for name, domain in domains.items()}
    assert counts == {"source": 305, "target": 62, "source_evaluation": 171, "evaluation": 62}
    source = domains["source"]
    drives = {source.name(index)[:6] for index in range(len(source))}
    assert drives == {"0006R0", "0016E5"}
    seen = {int(value) for index in range(0, 305, 20) for value in source.label(index).unique()}
    assert seen - {IGNORE} == set(range(11))


def test_who_names_a_folder_means_all_of_it(write_folder: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """``segue evaluate --data FOLDER`` of a run that took some of the folder's pictures."""
    root = write_folder(NAMES)
    domain = {"root": str(root), "dataset": "folder", "domain": None, "split": None, "pictures": None}
    wish = {"data": {"classes": list(AB.names), "evaluation": {**domain, "include": ["night/*"]}}}
    wanted = tiny("source_only", wish)
    assert wanted.data.evaluation is not None
    assert len(open_domain(wanted.data, wanted.data.evaluation, labelled=True)) == 2
    monkeypatch.setattr(finished_run, "settings_of", lambda model: wanted)
    assert len(finished_run.labelled_pictures(cast(TrainedModel, None), root)) == 4
