"""``segue depth`` measures a known disparity, goes on where it stopped, and says in one line what is wrong."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from segue.data.depth_file import read_depth

NEAR, FAR = 24, 8
"""Disparities of a plane and of the one behind it, in pixels."""


def textured(seed: int, rows: int, columns: int) -> np.ndarray:
    grain = np.random.default_rng(seed).integers(0, 256, (rows, columns, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(grain).filter(ImageFilter.GaussianBlur(1)))


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Two pairs with Cityscapes' names and cameras."""
    for number in range(2):
        far, near = textured(number, 120, 340), textured(number + 9, 50, 120)
        for side, start, place in (("left", 0, 100), ("right", FAR, 100 - NEAR)):
            picture = far[:, start : 320 + start].copy()
            picture[40:90, place : place + 120] = near
            path = tmp_path / side / f"town/{number}_{side}Img8bit.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
        camera = {"intrinsic": {"fx": 100.0}, "extrinsic": {"baseline": 0.5}}
        path = tmp_path / f"camera/town/{number}_camera.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(camera))
    return tmp_path


def command(root: Path, *more: object) -> list[object]:
    return ["depth", root / "left", root / "right", "--out", root / "out", *more]


def test_depth_of_a_known_disparity(segue, pairs: Path) -> None:
    cameras = ("--camera", pairs / "camera", "--largest")
    code, said, _ = segue(*command(pairs, *cameras, 40))
    assert code == 0 and "2 depths written now, of 2, 9" in said
    disparity = np.full((120, 320), FAR)
    disparity[40:90, 100:220] = NEAR
    for number in range(2):
        depth = read_depth(pairs / f"out/town/{number}.png")
        known = depth > 0
        assert known.mean() > 0.9 and known[:, FAR:30].mean() > 0.8, "also left of the largest disparity"
        assert not known[:, :FAR].any(), "which the right camera does not see"
        error = np.abs(depth / (100 * 100 * 0.5 / disparity) - 1)[known]
        assert np.median(error) < 0.01 and (error < 0.05).mean() > 0.98

    kept, gone = (pairs / f"out/town/{number}.png" for number in range(2))
    before, content = kept.stat().st_mtime_ns, gone.read_bytes()
    gone.unlink()
    assert "1 depths written now, of 2" in segue(*command(pairs, *cameras, 40))[1]
    assert kept.stat().st_mtime_ns == before and gone.read_bytes() == content
    assert sorted(gone.parent.iterdir()) == [kept, gone]
    code, _, error = segue(*command(pairs, *cameras, 64))
    assert code == 2 and "made otherwise (largest was 40, is 64)" in error


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda r: (r / "right/town/1_rightImg8bit.png").unlink(), "no right picture of"),
        (lambda r: (r / "camera/town/1_camera.json").unlink(), "1_camera.json"),
        (lambda r: (r / "camera/town/0_camera.json").write_text("{}"), "holds intrinsic.fx"),
        (lambda r: Image.new("L", (9, 5)).save(r / "right/town/0_rightImg8bit.png"), "9x5 pixels, but 0_"),
        (lambda r: sys.modules.update(cv2=None), "pip install 'segue-uda[depth]'"),
        (lambda r: (r / "left").rename(r / "away"), "no such folder"),
    ],
)
def test_mistakes_are_told_in_one_line(segue, pairs: Path, spoil, words: str, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", __import__("cv2"))
    spoil(pairs)
    code, _, error = segue(*command(pairs, "--camera", pairs / "camera"))
    assert code == 2 and error.count("\n") == 1 and words in error, error


def test_a_camera_is_needed(segue, pairs: Path) -> None:
    assert "--focal and --baseline" in segue(*command(pairs))[2]
