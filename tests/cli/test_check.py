"""`segue check` finds at once what would go wrong: a table, a page, a JSON file; `train` says it in the same words."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import Run, save
from tests.report.test_page import check as check_page
from tests.street_folders import write_folder

from segue.cli.main import VERBS

SMALL = ["steps=1", "network.encoder=mit_nano", "network.channels=8", "data.crop=[32,32]", "data.workers=0"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Street scenes, without anything wrong."""
    root = tmp_path_factory.mktemp("checked")
    for domain, split, count in (("source", "train", 6), ("target", "train", 5), ("target", "val", 2)):
        write_folder(
            root / (domain if split == "train" else "val"),
            domain=domain,
            split=split,
            count=count,
            size=(64, 128),
        )
    return root


def options(folders: Path, *settings: str) -> list[object]:
    sets = [part for assignment in (*SMALL, *settings) for part in ("--set", assignment)]
    return ["--source", folders / "source", "--target", folders / "target", *sets]


def check(folders: Path, *settings: str) -> list[object]:
    return ["check", *options(folders, *settings), "--workers", 0, "--out", folders / "out"]


def pictures(folder: Path, kind: str = "labels") -> list[Path]:
    return sorted(path for path in (folder / kind).rglob("*") if path.is_file())


@pytest.mark.slow
def test_good_folders_have_no_error_and_a_whole_page(folders: Path, segue: Run) -> None:
    code, said, _ = segue(*check(folders), "--evaluation", folders / "val")
    assert code == 0 and "0 errors" in said
    account = json.loads((folders / "out/check.json").read_text())
    assert account["domains"]["target"]["labels"] is None and account["domains"]["source"]["labels"] == 6
    road = next(one for one in account["classes"] if one["name"] == "road")["shares"]
    assert road["source"] > 0.1 and road["evaluation"] > 0.1 and road["target"] is None
    page = check_page(folders / "out/report.html")
    assert "Nothing is wrong" in page.text or "Nothing stops training" in page.text
    assert "as the student sees it" in page.text and len(page.all("img")) == 6 + 5 + 2 + 4 * 3


def test_mistakes_are_told_together_with_exit_code_1(folders: Path, segue: Run) -> None:
    first, second, third = pictures(folders / "source")[:3]
    save(first, np.full((64, 128), 77))
    save(second, np.full((32, 128), 1))
    third.unlink()
    broken = pictures(folders / "target", "images")[0]
    broken.write_bytes(broken.read_bytes()[:500])
    code, said, _ = segue(*check(folders))
    assert code == 1 and "4 errors" in said
    for words in ("label values 77", "128x32", "no label", "cut off", "share of pixels", "n/a"):
        assert words in said
    page = check_page(folders / "out/report.html")
    assert "4 errors" in page.text and "as the student sees it" not in page.text
    findings = json.loads((folders / "out/check.json").read_text())["findings"]
    assert [str(first)] in next(one["files"] for one in findings if one["kind"] == "label values")


def test_a_page_escapes_what_files_are_called(folders: Path, segue: Run) -> None:
    first = pictures(folders / "source")[0]
    name = "<b>&'\"<script>alert(1)<"
    image = pictures(folders / "source", "images")[0]
    image.rename(image.with_name(f"{name}.png"))
    save(first.rename(first.with_name(f"{name}.png")), np.full((64, 128), 77))
    assert segue(*check(folders))[0] == 1
    check_page(folders / "out/report.html")
    assert "<b>&" not in (folders / "out/report.html").read_text()


@pytest.mark.slow
def test_target_labels_are_not_opened(folders: Path, segue: Run) -> None:
    """Labels beside the target's pictures are no pictures at all: neither verb notices."""
    for path in pictures(folders / "target"):
        path.write_bytes(b"nobody reads this")
    assert segue(*check(folders))[0] == 0
    code, _, said = segue("train", "source_only", "--cpu", *options(folders), "--out", folders / "run")
    assert code == 0, said


@pytest.mark.parametrize("mistake", ["value", "size", "12 bits", "all ignored", "no label"])
def test_train_refuses_in_the_same_words_before_it_begins(folders: Path, segue: Run, mistake: str) -> None:
    labels = pictures(folders / "source")
    match mistake:
        case "value":
            save(labels[0], np.full((64, 128), 77))
        case "size":
            save(labels[0], np.zeros((32, 128)))
        case "12 bits":
            for path in pictures(folders / "target", "images"):
                grey = np.asarray(Image.open(path).convert("L")).astype(np.uint16) << 4
                Image.fromarray(grey).save(path)
        case "all ignored":
            for path in labels:
                save(path, np.full((64, 128), 255))
        case _:
            labels[0].unlink()
    assert segue(*check(folders))[0] == 1
    findings = json.loads((folders / "out/check.json").read_text())["findings"]
    errors = [one["text"] for one in findings if one["severity"] == "error"]
    code, _, said = segue("train", "daformer", "--cpu", *options(folders), "--out", folders / "run")
    assert code == 2 and said.removeprefix("segue: ").strip() in errors
    assert not (folders / "run").exists()


@pytest.mark.slow
def test_train_names_classes_without_a_pixel_before_its_first_step(folders: Path, segue: Run) -> None:
    for path in pictures(folders / "source"):
        values = np.asarray(Image.open(path))
        save(path, np.where(values == 0, 1, values))
    code, said, error = segue("train", "source_only", "--cpu", *options(folders), "--out", folders / "run")
    assert code == 0, error
    before, _, after = said.partition("1/1")
    assert "no pixel of the class" in before and "road" in before and "no pixel" not in after


def test_it_takes_the_options_of_train_that_say_what_is_read(segue: Run) -> None:
    """Whatever train learns to read, check reads: the options are train's own."""
    import inspect

    train, own = (inspect.signature(VERBS[name]).parameters for name in ("train", "check"))
    run_only = {"recipe", "out", "baseline", "cpu", "show", "steps"}
    assert own.keys() == (train.keys() - run_only) | {"recipe", "out", "workers"}
    assert all(own[name].annotation == train[name].annotation for name in train.keys() - run_only)
    code, said, _ = segue("check", "--help")
    assert code == 0 and "--evaluation" in said and "--set" in said and "--workers" in said


def test_the_two_domains_are_asked_for(segue: Run) -> None:
    code, _, said = segue("check")
    assert code == 2 and "--source DIR --target DIR" in said


@pytest.mark.slow
def test_published_layouts_are_checked_too(tmp_path: Path, segue: Run) -> None:
    """SYNTHIA's deep labels, GTA5's palette and Cityscapes' ids are read as training reads them."""
    for pair in ("synthia_to_cityscapes", "gta5_to_cityscapes"):
        place = tmp_path / pair
        assert segue("data", "make-sample", pair, place, "--pictures", 2)[0] == 0
        code, said, _ = segue(
            "check", "--pair", pair, "--set", f"data.root={place}", "--workers", 0, "--out", place / "out"
        )
        account = json.loads((place / "out/check.json").read_text())
        assert code == 0, said
        assert sum(one["shares"]["source"] for one in account["classes"]) == pytest.approx(1)
        assert account["domains"]["source"]["labels"] == 2


@pytest.mark.slow
def test_the_command_decodes_in_processes(folders: Path) -> None:
    """As a program of its own, with its processes."""
    arguments = [str(part) for part in check(folders)]
    arguments[arguments.index("--workers") + 1] = "2"
    done = subprocess.run(
        [sys.executable, "-c", "from segue.cli.main import main; main()", *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "Traceback" not in done.stderr and "0 errors" in done.stdout
