"""Every verb that takes a folder of pictures takes tar shards, and does the same with them; mistakes are one line."""

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.report.test_page import check as check_page
from tests.shards import pack

from segue.data.tars import find_tars

SMALL = ["steps=1", "network.encoder=mit_nano", "network.channels=8", "data.crop=[32,32]", "data.workers=0"]


@pytest.fixture
def shards(folders: Path) -> Path:
    for role in ("source", "target"):
        pack(folders / role, folders / "shards" / role)
    return folders / "shards"


def contents(folder: Path) -> dict[str, bytes]:
    """Files by the ends of their names: splits are part of a folder's names and of a shard's keys alike."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix == ".png"
    }


def sets(*settings: str) -> list[object]:
    return [part for assignment in (*SMALL, *settings) for part in ("--set", assignment)]


@pytest.mark.slow
def test_check_says_the_same_and_shows_pictures(folders: Path, shards: Path, segue: Run) -> None:
    said: list[dict[str, object]] = []
    for root in (folders, shards):
        out = folders / "out" / root.name
        pair = ["--source", root / "source", "--target", root / "target", "--evaluation", root / "target"]
        code, _, wrong = segue("check", *pair, *sets(), "--workers", 0, "--out", out)
        assert code == 0, wrong
        account = json.loads((out / "check.json").read_text())
        said.append({key: account[key] for key in ("counts", "classes")})
    assert said[0] == said[1]
    page = check_page(folders / "out/shards/report.html")
    assert (
        len(page.all("img")) == 3 + 3 + 3 + 4 * 3 + 2 * 3
    )  # samples, crops, and twins of target and evaluation
    assert "shard-000000.tar/" in page.text


@pytest.mark.slow
def test_train_with_shards_on_either_side(folders: Path, shards: Path, segue: Run) -> None:
    for source, target in ((shards / "source/shard-{000000..000001}.tar", folders / "target"),
                           (folders / "source", shards / "target")):  # fmt: skip
        out = folders / f"run-{target.parent.name}"
        code, _, wrong = segue("train", "source_only", "--cpu", "--source", source, "--target", target,
                               "--evaluation", target, "--out", out, *sets())  # fmt: skip
        assert code == 0, wrong
    one, other = (
        json.loads((folders / f"run-{kind}/scores.json").read_text()) for kind in ("data", "shards")
    )
    assert one["mean_iou"] == other["mean_iou"]


def test_predict_label_and_evaluate(folders: Path, shards: Path, segue: Run, model_folder: Path) -> None:
    files = folders / "target/images"
    for verb in ("predict", "label"):
        for place, pictures in (("files", files), ("shards", shards / "target")):
            code, said, wrong = segue(verb, model_folder, pictures, "--out", folders / verb / place)
            assert code == 0, said + wrong
        predicted = contents(folders / verb / "files")
        assert predicted and predicted == contents(folders / verb / "shards")
    scores: list[dict[str, object]] = []
    (folders / "map.yaml").write_text("'*': ignore\n")
    split = next((folders / "target/labels").iterdir()).name
    for data, more in ((folders / "target", ["--split", split]), (shards / "target", [])):
        path = folders / "scores.json"
        code, said, wrong = segue(
            "evaluate", model_folder, "--data", data, *more, "--map", folders / "map.yaml", "--json", path
        )
        assert code == 0, said + wrong
        scores.append(json.loads(path.read_text()))
    assert scores[0]["mean_iou"] == scores[1]["mean_iou"]


def test_mistakes_are_one_line(folders: Path, shards: Path, segue: Run, model_folder: Path) -> None:
    tar = shards / "target/shard-000001.tar"
    tar.write_bytes(tar.read_bytes()[:3000])
    for verb in (["predict", model_folder], ["label", model_folder]):
        code, _, wrong = segue(*verb, tar.parent, "--out", folders / "out")
        assert code == 2 and f"{tar}: not readable as a tar archive" in wrong and wrong.count("\n") == 1
    code, _, wrong = segue("train", "source_only", "--cpu", "--source", folders / "source", "--target", tar.parent,
                           "--out", folders / "run", *sets())  # fmt: skip
    assert code == 2 and f"{tar}: not readable" in wrong and wrong.count("\n") == 1
    code, _, wrong = segue("check", "--source", folders / "source", "--target", tar.parent, *sets(),
                           "--workers", 0, "--out", folders / "out")  # fmt: skip
    assert code == 2 and f"{tar}: not readable" in wrong and wrong.count("\n") == 1


def test_lists_of_names_choose_keys(folders: Path, shards: Path, segue: Run) -> None:
    tars = find_tars(shards / "target")
    assert tars is not None
    names = list(tars.pictures())
    (folders / "names.txt").write_text(f"{names[1]}\n")
    for key in ("names", "rejected"):
        out = folders / "out" / key
        code, _, wrong = segue("check", "--source", shards / "source", "--target", shards / "target", *sets(),
                               "--set", f"data.target.{key}={folders / 'names.txt'}", "--workers", 0,
                               "--out", out)  # fmt: skip
        assert code == 0, wrong
        found = json.loads((out / "check.json").read_text())["domains"]["target"]["pictures"]
        assert found == {"names": 1, "rejected": 2}[key]
