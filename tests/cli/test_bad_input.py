"""Bad input ends in one line that names file, value and remedy, exit code 2, and no run folder half-written."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import Run

from segue.data.streets.dataset import STREET_CLASSES

SMALL = ["steps=2", "network.encoder=mit_nano", "network.channels=16", "data.crop=[32,64]", "data.workers=0"]


def train(folders: Path, *more: str) -> list[str]:
    sets = [part for assignment in (*SMALL, *more) for part in ("--set", assignment)]
    out = folders.parent / "run"
    return ["train", "daformer", "--cpu", "--source", f"{folders}/source", "--target", f"{folders}/target",
            "--evaluation", f"{folders}/target", "--out", f"{out}", *sets]  # fmt: skip


def refused(result: tuple[int, str, str], folders: Path, *words: str) -> None:
    code, _, said = result
    assert code == 2, said
    assert said.count("\n") == 1 and said.startswith("segue: "), said
    for word in words:
        assert word in said, said
    assert not (folders.parent / "run").exists(), "a run folder was begun"


def first(folder: Path) -> Path:
    return min(path for path in folder.rglob("*") if path.is_file())


def write_label(folders: Path, values: np.ndarray) -> Path:
    path = first(folders / "source" / "labels")
    Image.fromarray(values.astype(np.uint8)).save(path)
    return path


@pytest.mark.slow
def test_good_input_trains_predicts_and_evaluates(folders: Path, segue: Run) -> None:
    run = folders.parent / "run"
    assert segue(*train(folders))[0] == 0
    assert json.loads((run / "scores.json").read_text())["classes_counted"] > 3
    assert "<html" in (run / "report.html").read_text()
    assert segue("predict", run, folders / "target" / "images", "--out", run / "predicted")[0] == 0
    for kind in ("index", "colour", "overlay", "confidence"):
        assert len(list((run / "predicted" / kind).rglob("*.png"))) == 3
    assert segue("evaluate", run, "--json", run / "again.json")[0] == 0
    again = json.loads((run / "again.json").read_text())
    assert again["mean_iou"] == pytest.approx(
        json.loads((run / "scores.json").read_text())["mean_iou"], abs=1e-6
    )


def test_missing_folder(folders: Path, segue: Run) -> None:
    shutil.rmtree(folders / "target")
    refused(segue(*train(folders)), folders, str(folders / "target"))


def test_image_without_label(folders: Path, segue: Run) -> None:
    path = first(folders / "source" / "labels")
    path.unlink()
    refused(segue(*train(folders)), folders, path.stem, "label")


def test_label_value_outside_the_class_list(folders: Path, segue: Run) -> None:
    path = write_label(folders, np.full((32, 64), 77))
    refused(segue(*train(folders)), folders, str(path), "77")


def test_mask_of_0_and_255(folders: Path, segue: Run) -> None:
    for domain in ("source", "target"):
        (folders / domain / "classes.json").write_text(json.dumps(["background", "crack"]))
    for path in (folders / "source" / "labels").rglob("*.png"):
        Image.fromarray(np.where(np.arange(32 * 64).reshape(32, 64) % 3, 0, 255).astype(np.uint8)).save(path)
    refused(segue(*train(folders)), folders, "0/255 mask", "{0: background, 255: name}")


def test_image_and_label_of_different_size(folders: Path, segue: Run) -> None:
    path = write_label(folders, np.zeros((16, 64)))
    refused(segue(*train(folders)), folders, path.stem, "64x16", "64x32")


def test_truncated_jpeg(folders: Path, segue: Run) -> None:
    path = first(folders / "target" / "images")
    whole = path.with_suffix(".jpg")
    Image.open(path).save(whole)
    path.unlink()
    whole.write_bytes(whole.read_bytes()[:-200])
    refused(segue(*train(folders)), folders, str(whole))


def test_empty_target(folders: Path, segue: Run) -> None:
    shutil.rmtree(folders / "target")
    (folders / "target").mkdir()
    refused(segue(*train(folders)), folders, str(folders / "target"))


@pytest.mark.parametrize(
    "assignment", ["method.momentun=0.9", "optim.lr=fast", "data.crop=[0,4]", "nonsense"]
)
def test_unknown_key_or_value(folders: Path, segue: Run, assignment: str) -> None:
    refused(segue(*train(folders, assignment)), folders, assignment.split("=")[0].split(".")[-1])


def test_class_map_that_names_an_unknown_class(folders: Path, segue: Run) -> None:
    refused(segue(*train(folders, "data.source.class_map={road: raod}")), folders, "'raod'", "road")
    refused(segue(*train(folders, "data.source.class_map={raod: road}")), folders, "'raod'", "road")


def test_no_domains_and_unknown_names(segue: Run, folders: Path) -> None:
    refused(segue("train", "daformer"), folders, "--pair")
    refused(segue("train", "dafomer", "--pair", "street_scenes"), folders, "'daformer'")
    refused(segue("train", "daformer", "--pair", "street_scene"), folders, "'street_scenes'")
    refused(segue("train", "daformer", "--pair", "nowhere.yaml"), folders, "nowhere.yaml")


def test_weights_that_are_not_there_or_not_weights(folders: Path, segue: Run) -> None:
    refused(segue(*train(folders, "network.weights=nowhere.safetensors")), folders, "nowhere.safetensors")
    fake = folders / "weights.safetensors"
    fake.write_bytes(b"not weights")
    refused(segue(*train(folders, f"network.weights={fake}")), folders, str(fake))


@pytest.mark.slow
def test_checkpoint_cut_in_half(folders: Path, segue: Run) -> None:
    run = folders.parent / "run"
    assert segue(*train(folders))[0] == 0
    path = run / "checkpoints" / "0000002" / "method.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    code, _, said = segue(*train(folders))
    assert code == 2 and said.count("\n") == 1
    assert "is damaged" in said and str(path.parent) in said
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 300 KiB."""
    place = tmp_path / "full"
    place.mkdir()
    mount = shutil.which("mount")
    done = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=300k", "segue-test", str(place)], capture_output=True, check=False
    )
    if not done or done.returncode:
        pytest.skip("mounting a small file system needs privileges")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
def test_full_disk(folders: Path, segue: Run, full: Path) -> None:
    arguments = [part.replace(str(folders.parent / "run"), str(full / "run")) for part in train(folders)]
    code, _, said = segue(*arguments)
    assert code == 2 and said.count("\n") == 1
    assert "No space left" in said and str(full) in said
    assert not list((full / "run" / "checkpoints").glob("*")), "half a checkpoint was left"
    assert not list(full.rglob("*.part"))


def test_street_classes_are_written_beside_the_pictures(made: Path) -> None:
    assert json.loads((made / "source" / "classes.json").read_text())["classes"] == list(STREET_CLASSES.names)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("data.evaluation.pictures=2", ("data.evaluation.pictures=2 is for street scenes", "part=[0,4]")),
        ("data.target.domain=target", ("data.target.domain is for street scenes",)),
        ("run.keep=1", ("run.keep", "2")),
        ("data.crop=[1000000,1000000]", ("data.crop", "32768")),
        ("network.channels=1000000000", ("network.channels", "65536")),
        ("steps=100000000000000000000", ("steps", "1000000000")),
    ],
)
def test_settings_that_would_be_ignored_or_cannot_be_meant(
    folders: Path, segue: Run, setting: str, words: tuple[str, ...]
) -> None:
    refused(segue(*train(folders, setting)), folders, *words)
