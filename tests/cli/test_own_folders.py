"""Folders as people have them: suffixes, splits, other names, ``..`` in paths; nothing is merged silently."""

import shutil
from pathlib import Path

import pytest
from tests.cli.conftest import Run

from segue.api import configure
from segue.engine.domains import open_domain
from segue.engine.experiment import differences


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def count(folders: Path, role: str, **wishes: object) -> int:
    wanted = configure(
        "source_only", **{"source": folders / "source", "target": folders / "target", **wishes}
    )
    domain = getattr(wanted.data, role)
    opened = open_domain(wanted.data, domain, labelled=role == "source")
    opened.check()
    return len(opened)


def test_labels_whose_names_have_a_suffix(folders: Path) -> None:
    for path in files(folders / "source/labels"):
        path.rename(path.with_name(f"{path.stem}_mask.png"))
    with pytest.raises(FileNotFoundError, match="end in _mask, say --label-suffix _mask"):
        count(folders, "source")
    assert count(folders, "source", label_suffix="_mask") == 3
    assert count(folders, "source", settings={"data.source.label_suffix": "_mask"}) == 3


@pytest.mark.parametrize("role", ["source", "target"])
def test_two_splits_are_never_merged_silently(folders: Path, role: str) -> None:
    kinds = ("images", "labels") if role == "source" else ("images",)
    for kind in kinds:
        for place, path in enumerate(files(folders / role / kind)):
            split = folders / role / kind / ("val" if place else "train")
            split.mkdir(exist_ok=True)
            path.rename(split / path.name)
    with pytest.raises(ValueError, match=f"divided into train, val: say which split with .*--{role}-split"):
        count(folders, role)
    assert count(folders, role, **{f"{role}_split": "train"}) == 1
    assert count(folders, role, settings={f"data.{role}.include": ["*"]}) == 3


def test_a_plain_target_folder_of_two_splits(folders: Path) -> None:
    for split in ("train", "test"):
        shutil.copytree(folders / "target/images", folders / "plain" / split)
    with pytest.raises(ValueError, match="divided into test, train"):
        count(folders, "target", target=folders / "plain")
    assert count(folders, "target", target=folders / "plain", target_split="test") == 3


def test_pictures_and_labels_in_folders_of_any_name(folders: Path) -> None:
    (folders / "source/images").rename(folders / "rgb")
    (folders / "source/labels").rename(folders / "source/gt")
    names = {"source_images": folders / "rgb", "source_labels": folders / "source/gt"}
    assert count(folders, "source", source_labels=Path("gt"), source_images=Path("../rgb")) == 3
    listed = folders / "source/classes.json"
    assert count(folders, "source", source=None, classes=listed, **names) == 3


def test_dots_in_a_path_are_no_difference(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wanted(source: Path):
        return configure("source_only", source=source, target=folders / "target")

    plain = wanted(folders / "source")
    assert not differences(plain, wanted(folders / "target" / ".." / "source"))
    dotted = configure(
        "source_only",
        source=folders / "source",
        target=folders / "target",
        settings={"data.source.root": str(folders / "target" / ".." / "source")},
    )
    assert not differences(plain, dotted)
    monkeypatch.chdir(folders)
    assert not differences(plain, wanted(Path("source")))


def test_the_options_reach_the_settings(folders: Path, segue: Run) -> None:
    for place in ("source/rgb/train", "target/images/val"):
        shutil.copytree(folders / place.split("/")[0] / "images", folders / "more" / place)
    folders, classes = folders / "more", folders / "source/classes.json"
    arguments = ["--classes", classes, "--source", folders / "source", "--target", folders / "target",
                 "--source-split", "train", "--target-split", "val", "--label-suffix", "_x", "--source-images", "rgb",
                 "--source-labels", "gt", "--print"]  # fmt: skip
    _, said, _ = segue("train", "daformer", *arguments)
    for line in ("split: train", "split: val", "label_suffix: _x", "images: rgb", "labels: gt"):
        assert line in said


def test_the_suffix_is_known_to_evaluate_too(folders: Path) -> None:
    from segue.engine.build import build_student
    from segue.engine.finished_run import labelled_pictures
    from segue.engine.model_card import model_card
    from segue.evaluation.model import TrainedModel
    from segue.models.weights import save_model

    wanted = configure(
        "source_only", source=folders / "source", target=folders / "target",
        settings={"network.encoder": "mit_nano", "network.channels": 8},
    )  # fmt: skip
    save_model(folders / "model", build_student(wanted), model_card(wanted, step=0))
    for path in files(folders / "target/labels"):
        path.rename(path.with_name(f"{path.stem}_mask.png"))
    model = TrainedModel.load(folders / "model", "cpu")
    assert len(labelled_pictures(model, folders / "target", label_suffix="_mask")) == 3
