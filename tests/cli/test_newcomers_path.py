"""The newcomer's path: a stranger's folders, and README's commands by copy and paste from first check to export.

The folders have JPEGs under three endings, labels called NAME_mask.png that hold 0 and 255, one picture on its side,
and one cut off while it was copied. The check names all of it; after what it advises, the other commands run as
printed, but for a network and a number of steps that a test can wait for.
"""

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image
from tests.street_folders import write_folder

from segue.cli.main import main

README = Path(__file__).resolve().parents[2] / "README.md"
ENDINGS = ["jpg", "JPG", "jpeg", "png"]
SHORT = (
    "--cpu --steps 4 --set network.encoder=mit_nano --set network.channels=8 --set data.crop=[32,32]"
    " --set data.workers=0 --set run.save_every=2"
)
ON_ITS_SIDE = 6  # EXIF: to be turned by 90 degrees

Run = Callable[[str], tuple[int, str]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """SOURCE and TARGET as a stranger has them, in the folder where commands are typed."""
    monkeypatch.chdir(tmp_path)
    for domain, folder in (("source", "SOURCE/images"), ("target", "TARGET")):
        write_folder(tmp_path / domain, domain=domain, split="train", count=8, size=(48, 96))
        (tmp_path / folder).mkdir(parents=True)
        for place, path in enumerate(sorted((tmp_path / domain / "images").rglob("*.png"))):
            turned = Image.Exif()
            turned[0x0112] = ON_ITS_SIDE if (domain, place) == ("source", 4) else 1
            picture = Image.open(path).convert("RGB")
            picture.save(tmp_path / folder / f"{path.stem}.{ENDINGS[place % 4]}", exif=turned)
    (tmp_path / "SOURCE/labels").mkdir()
    for path in sorted((tmp_path / "source/labels").rglob("*.png")):
        road = np.asarray(Image.open(path)) == 0
        Image.fromarray(road.astype(np.uint8) * 255).save(tmp_path / f"SOURCE/labels/{path.stem}_mask.png")
    cut = next((tmp_path / "TARGET").glob("*.jpeg"))
    cut.write_bytes(cut.read_bytes()[:700])
    (tmp_path / "classes.yaml").write_text("[background, road]")
    return tmp_path


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(command: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", shlex.split(command, comments=True))
        with pytest.raises(SystemExit) as stopped:
            main()
        said = capsys.readouterr()
        return int(stopped.value.code or 0), said.out + said.err

    return run


def printed(verb: str) -> str:
    """README's command for a verb on one's own two folders; of several the last."""
    text = (
        README.read_text(encoding="utf-8")
        .partition("## Your own two folders")[2]
        .partition("`SOURCE` holds")[0]
    )
    return re.findall(rf"^    (segue {verb} .*?)(?:  #.*)?$", text, re.M)[-1]


@pytest.mark.slow
def test_from_a_strangers_folders_to_a_model_for_other_software(here: Path, typed: Run) -> None:
    check = printed("check")
    code, said = typed(check)
    assert code == 1
    for words in ("say --label-suffix _mask", "cut off", "EXIF"):
        assert words in said

    suffix = " --label-suffix _mask"
    code, said = typed(check + suffix)
    assert code == 1 and "looks like a 0/255 mask" in said and "{0: background, 255: name}" in said

    (here / "classes.yaml").write_text("{0: background, 255: road}")
    next((here / "TARGET").glob("*.jpeg")).unlink()
    on_its_side = next((here / "SOURCE/images").glob("*_00004.*"))
    Image.open(on_its_side).save(on_its_side)  # without its EXIF
    code, said = typed(check + suffix)
    assert code == 0 and "0 errors, 0 warnings" in said

    for recipe in ("train source_only", "train daformer"):
        code, said = typed(f"{printed(recipe)} {suffix} {SHORT}")
        assert code == 0, said
    assert re.search(r"helped|no evidence|hurt", said), "an adapted run ends with a verdict"
    page = (here / "runs/mine/report.html").read_text(encoding="utf-8")
    assert "Before and after" in page or "before" in page.lower()

    code, said = typed(printed("select"))
    assert code == 0 and "mine at" in said and "plain at" in said
    code, said = typed(printed("predict"))
    targets = sorted(path.stem for path in (here / "TARGET").iterdir())
    assert code == 0 and sorted(path.stem for path in (here / "predictions/index").iterdir()) == targets
    pytest.importorskip("onnx", reason="export needs the extra of its name")
    viewer = subprocess.Popen(
        [sys.executable, "-m", *shlex.split(printed("view")), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert viewer.stdout is not None
        told = viewer.stdout.readline()
        assert f"{len(targets)} target pictures" in told
        with urlopen(re.findall(r"http://\S+", told)[0]) as page:
            assert b"<html" in page.read()
        viewer.send_signal(signal.SIGINT)
        assert viewer.wait(300) == 130  # as of any command that Ctrl-C ends
    finally:
        viewer.kill()
        viewer.communicate()  # closes what it was read through
    # in a process of its own: an exporter's sizes are tensors, which the tests' checks of types refuse
    subprocess.run([sys.executable, "-m", *shlex.split(printed("export"))], check=True)
    assert json.loads((here / "deploy/model.json").read_text())["classes"] == ["background", "road"]
