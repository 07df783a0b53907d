"""``segue depth`` measures the depth of pictures whose disparity is known, goes on where it stopped, and says what is
wrong in one line; what it writes is what recipes read."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from segue.data.depth_file import DepthSettings, read_depth, write_depth

FOCAL, BASELINE = 100.0, 0.5
NEAR, FAR = 24, 8
"""Disparities of a plane and of the one behind it, in pixels."""


def textured(seed: int, rows: int, columns: int) -> np.ndarray:
    grain = np.random.default_rng(seed).integers(0, 256, (rows, columns, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(grain).filter(ImageFilter.GaussianBlur(1)))


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Two pairs with Cityscapes' names and cameras: a textured plane before another one."""
    (tmp_path / "camera/town").mkdir(parents=True)
    for number in range(2):
        far, near = textured(number, 120, 340), textured(number + 9, 50, 120)
        left, right = far[:, :320].copy(), far[:, FAR : 320 + FAR].copy()
        left[40:90, 100:220] = near
        right[40:90, 100 - NEAR : 220 - NEAR] = near
        for side, picture in (("left", left), ("right", right)):
            path = tmp_path / f"{side}Img8bit/town/{number}_{side}Img8bit.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
        camera = {"intrinsic": {"fx": FOCAL}, "extrinsic": {"baseline": BASELINE}}
        (tmp_path / f"camera/town/{number}_camera.json").write_text(json.dumps(camera))
    return tmp_path


def truth() -> np.ndarray:
    """Metres."""
    disparity = np.full((120, 320), float(FAR))
    disparity[40:90, 100:220] = NEAR
    return FOCAL * BASELINE / disparity


def test_depth_of_a_known_disparity(segue, pairs: Path) -> None:
    out = pairs / "depth"
    command = ["depth", pairs / "leftImg8bit", pairs / "rightImg8bit", "--out", out]
    code, said, _ = segue(*command, "--camera", pairs / "camera", "--largest", 40)
    assert code == 0 and "2 depths written now, of 2, 9" in said and "within 6.2 m" in said
    for number in range(2):
        depth = read_depth(out / f"town/{number}.png")
        known = depth > 0
        assert known.mean() > 0.9 and known[:, FAR:30].mean() > 0.8, "also left of the largest disparity"
        assert not known[:, :FAR].any(), "which the right camera does not see"
        error = np.abs(depth / 100 / truth() - 1)[known]
        assert np.median(error) < 0.01 and (error < 0.05).mean() > 0.98
    near = DepthSettings(folder=out).nearness()[read_depth(out / "town/0.png")]
    assert np.median(near[45:85, 110:210]) == pytest.approx(
        655.36 / (FOCAL * BASELINE / NEAR + 0.01), rel=0.02
    )

    kept, gone = out / "town/0.png", out / "town/1.png"
    before, content = kept.stat().st_mtime_ns, gone.read_bytes()
    gone.unlink()
    code, said, _ = segue(*command, "--camera", pairs / "camera", "--largest", 40)
    assert code == 0 and "1 depths written now, of 2" in said
    assert kept.stat().st_mtime_ns == before and gone.read_bytes() == content
    assert sorted(path.name for path in (out / "town").iterdir()) == ["0.png", "1.png"]
    code, said, _ = segue(*command, "--camera", pairs / "camera", "--largest", 40)
    assert code == 0 and f"0 depths written now, of 2: {out}" in said
    code, _, error = segue(*command, "--camera", pairs / "camera", "--largest", 64)
    assert code == 2 and "made otherwise (largest was 40, is 64)" in error


def test_cityscapes_own_disparities(segue, pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """(value - 1) / 256 pixels; no OpenCV is needed."""
    monkeypatch.setitem(sys.modules, "cv2", None)
    values = np.array([[0, 1, 1 + 256 * 10, 65535]], np.uint16).repeat(2, 0)
    write_depth(pairs / "disparity/town/0_disparity.png", values)
    own = ["depth", pairs / "disparity", "--out", pairs / "out"]
    code, _, error = segue(*own, "--focal", 200, "--baseline", 0.1)
    assert code == 0, error
    wanted = [0, 65535, 200, round(100 * 20 * 256 / 65534)]
    assert read_depth(pairs / "out/town/0.png")[0].tolist() == wanted


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda r: r / "rightImg8bit/town/1_rightImg8bit.png", ("no right picture of", "1 of 2")),
        (lambda r: r / "camera/town/1_camera.json", ("1_camera.json",)),
        (lambda r: r / "camera", ("focal length", "--camera", "--baseline")),
        (lambda r: (r / "camera/town/0_camera.json").write_text("{}"), ("0_camera.json", "intrinsic.fx")),
        (
            lambda r: Image.new("RGB", (30, 20)).save(r / "rightImg8bit/town/0_rightImg8bit.png"),
            ("30x20 pixels", "0_leftImg8bit.png has 320x120"),
        ),
        (lambda r: sys.modules.__setitem__("cv2", None), ("pip install 'segue-uda[depth]'",)),
        (lambda r: r / "leftImg8bit", ("no such folder",)),
    ],
)
def test_mistakes_are_told_in_one_line(segue, pairs: Path, spoil, words, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", sys.modules.get("cv2") or __import__("cv2"))
    camera = ["--camera", pairs / "camera"]
    found = spoil(pairs)
    if isinstance(found, Path) and found.is_dir():
        camera = [] if found.name == "camera" else camera
        found.rename(found.with_name("away"))
    elif isinstance(found, Path):
        found.unlink()
    command = ["depth", pairs / "leftImg8bit", pairs / "rightImg8bit", "--out", pairs / "out", *camera]
    code, _, error = segue(*command)
    assert code == 2 and error.count("\n") == 1 and all(word in error for word in words), error
    assert not list((pairs / "out").rglob("*.part"))
