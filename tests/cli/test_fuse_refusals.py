"""What ``segue label`` and ``segue fuse`` refuse, in one line that says why, with everything left as it was."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image
from rich.console import Console
from tests.cli.test_fuse import CLASSES, onnx_file, read, run, stamps, write_labels
from tests.tiny import ready, tiny

from segue.engine.experiment import revise
from segue.engine.stages import train
from segue.types import IGNORE


@pytest.fixture
def pictures(labelled_folder: Path) -> Path:
    return labelled_folder / "images/val"


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    one, two = (write_labels(tmp_path / name, seed) for seed, name in enumerate(("one", "two")))
    return f"one={one}", f"two={two}"


def refused(*arguments: object) -> str:
    found = run(*arguments)
    assert isinstance(found.exception, ValueError | FileNotFoundError), found.exception
    return str(found.exception)


def test_a_class_list_says_what_values_mean(tmp_path: Path) -> None:
    """Values that do not count from 0, and ignored ones, are read as the member's own list has them."""
    folder = tmp_path / "own"
    (folder / "index").mkdir(parents=True)
    values = np.array([[0, 1, 2, 3]], np.uint8).repeat(4, 0)
    Image.fromarray(values).save(folder / "index/a.png")
    content = {"classes": {"1": "road", "2": "car", "3": "sky"}, "ignore": [0]}
    (folder / "classes.json").write_text(json.dumps(content))
    assert run("fuse", f"m={folder}", "--policy", "uniform:m", "--unclaimed", "ignore",
               "--out", tmp_path / "out").exit_code == 0  # fmt: skip
    assert (read(tmp_path / "out/index/a.png") == np.array([IGNORE, 0, 1, 2])).all()
    assert json.loads((tmp_path / "out/classes.json").read_text())["classes"] == CLASSES
    # Two classes of which one picture has only the first, and says itself that 255 is ignored.
    (folder / "classes.json").write_text(json.dumps({"classes": ["road", "car"], "ignore": 255}))
    Image.fromarray(np.array([[0, 255]], np.uint8).repeat(4, 0)).save(folder / "index/a.png")
    assert run("fuse", f"m={folder}", "--fusion", "pixel", "--out", tmp_path / "two").exit_code == 0
    assert (read(tmp_path / "two/index/a.png") == np.array([0, IGNORE])).all()


def test_nothing_that_is_read_is_written_over(
    pair: tuple[str, str], tmp_path: Path, model_folder: Path, pictures: Path
) -> None:
    before = stamps(tmp_path / "one")
    assert "this folder is read from" in refused(
        "fuse", *pair, "--fusion", "pixel", "--out", tmp_path / "one"
    )
    other = write_labels(tmp_path / "other", 5)
    assert "somebody else made" in refused("fuse", *pair, "--fusion", "pixel", "--out", other)
    assert "somebody else made" in refused("label", model_folder, pictures, "--out", other)
    assert stamps(tmp_path / "one") == before and not (other / "made.json").exists()


def test_labels_below_the_pictures_are_no_pictures(
    model_folder: Path, pictures: Path, tmp_path: Path
) -> None:
    inside = pictures / "labels"
    for expected in ("2 pictures labelled now, of 2", "0 pictures labelled now, of 2"):
        assert expected in run("label", model_folder, pictures, "--out", inside).output
    copies = tmp_path / "copies"
    copies.mkdir()
    for path in pictures.glob("*.*"):
        (copies / path.name).write_bytes(path.read_bytes())
    assert "made otherwise (pictures was" in refused("label", model_folder, copies, "--out", inside)


def test_a_mistake_does_not_bind_the_next_attempt(pair: tuple[str, str], tmp_path: Path) -> None:
    arguments = ("fuse", *pair, "--policy", "random:1", "--out", tmp_path / "out")
    assert "odd number" in refused(*arguments, "--window", 4)
    assert "no probabilities" in refused(*arguments, "--threshold", 0.5)
    assert run(*arguments, "--window", 5).exit_code == 0


def test_rules_without_use(pair: tuple[str, str], tmp_path: Path) -> None:
    arguments = ("fuse", *pair, "--out", tmp_path / "out")
    assert "a majority has no certainty" in refused(*arguments, "--fusion", "pixel", "--threshold", 0.9)
    majority = (*arguments, "--fusion", "pixel")
    assert "go with channel, not with pixel" in refused(*majority, "--conflict", "ignore")
    assert "go with --fusion channel, not with pixel" in refused(*majority, "--policy", "random:1")
    assert "which is not given" in refused(*majority, "--labels-map", tmp_path / "map.yaml")
    assert "used by conflict order alone" in refused(*arguments, "--policy", "random:1", "--order", "car")
    by_order = (*arguments, "--policy", "random:1", "--conflict", "order", "--order")
    assert "unknown class 'bus'" in refused(*by_order, "bus")
    assert run(*by_order, "sky").exit_code == 0  # the rest follows in its own order
    assert json.loads((tmp_path / "out/fusion.json").read_text())["rules"]["order"] == [2, 0, 1]


def test_only_students_that_label_everything_are_compared(
    model_folder: Path, pictures: Path, pair: tuple[str, str], tmp_path: Path
) -> None:
    sure = tmp_path / "sure"
    assert run("label", model_folder, pictures, "--out", sure, "--threshold", 0.5).exit_code == 0
    students = ("--student", f"one={sure}", "--student", f"two={sure}")
    assert "leave out what their model is unsure of" in refused(
        "fuse", *pair, *students, "--out", tmp_path / "o"
    )
    (sure / "made.json").unlink()
    (sure / "statistics.json").write_text("{}")
    assert "not what `segue label` writes" in refused("fuse", *pair, *students, "--out", tmp_path / "o")


def test_damaged_members(model_folder: Path, pictures: Path, pair: tuple[str, str], tmp_path: Path) -> None:
    out = ("--out", tmp_path / "out")
    soft = tmp_path / "soft"
    assert run("label", model_folder, pictures, "--out", soft, "--soft").exit_code == 0
    whole = (soft / "soft/a.npz").read_bytes()
    (soft / "soft/a.npz").write_bytes(whole[: len(whole) // 2])
    assert "a.npz: not stored probabilities" in refused("fuse", f"s={soft}", "--fusion", "average", *out)
    (soft / "soft/a.npz").write_bytes(whole)
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(soft / "index/a.png")
    assert "a label of 30x20" in refused("fuse", f"s={soft}", "--fusion", "average", *out)

    net = onnx_file(tmp_path / "net.onnx")
    net.with_suffix(".json").write_text(json.dumps({"classes": CLASSES, "mean": 127.0, "std": [1, 1, 1]}))
    seen = ("--fusion", "pixel", "--pictures", pictures, "--out", tmp_path / "seen")
    assert "it needs the keys classes, mean and std" in refused("fuse", f"n={net}", *seen)
    net.with_suffix(".json").write_text(json.dumps({"classes": CLASSES, "mean": [0] * 3, "std": [1] * 3}))
    fixed = onnx.load(net)
    for axis, size in ((2, 32), (3, 32)):
        fixed.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = size
    onnx.save(fixed, net)
    assert "does not take a picture of shape 1x3x40x70" in refused("fuse", f"n={net}", *seen)

    out = ("--out", tmp_path / "other")
    truth = write_labels(tmp_path / "truth", 3, size=(20, 30))
    by_truth = ("--policy", "truth", "--labels", truth)
    assert "is 30x20, member one's 70x40" in refused("fuse", *pair, *by_truth, *out)
    assert "no such folder of labels" in refused(
        "fuse", *pair, "--policy", "truth", "--labels", tmp_path / "no", *out
    )
    empty = tmp_path / "empty"
    (empty / "index").mkdir(parents=True)
    (empty / "classes.json").write_text(json.dumps(CLASSES))
    assert "member e has no pictures" in refused("fuse", f"e={empty}", "--fusion", "pixel", *out)
    assert "no such folder or picture" in refused("fuse", *pair, "--pictures", tmp_path / "no", *out)
    assert "no picture here" in refused("fuse", *pair, "--pictures", empty, *out)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"window": 4}, "odd number"),
        ({"conflict": "order"}, "conflict order needs an order"),
        ({"conflict": "order", "order": ["nope"]}, "unknown class 'nope'"),
        ({"kind": "pixel", "threshold": 0.5}, "a majority has no certainty"),
        ({"policy": "none.yaml"}, "no such policy file"),
    ],
)
def test_an_ensemble_is_refused_before_anything_is_trained(
    wish: dict[str, object], message: str, tmp_path: Path
) -> None:
    wanted = ready(tiny("ensemble"), tmp_path / "members")
    wanted = revise(wanted, {"method": {"ensemble": wish}})
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        train(wanted, tmp_path / "run", console=Console(quiet=True), cpu=True)
    assert not (tmp_path / "run").exists()
