"""Depth of a stereo camera's left pictures: matched by OpenCV, or from Cityscapes' own disparities."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.data.decoding import decode, rgb
from segue.data.depth_file import in_centimetres, read_depth, write_depth
from segue.data.folder_files import find_pictures
from segue.files import write_text

LEFT, RIGHT, CAMERA, DISPARITY = "_leftImg8bit", "_rightImg8bit", "_camera", "_disparity"
"""Ends of Cityscapes' names."""

BLOCK = 5
"""Sides of the squares that are matched, in pixels."""


def depth_of(disparity: NDArray[np.floating], factor: float) -> NDArray[np.uint16]:
    """Centimetres, from pixels and metres times pixels; 0 where the disparity is not a number."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return in_centimetres(np.where(disparity >= 0, factor / disparity, 0))


@dataclass(frozen=True)
class Cameras:
    """Where cameras are described: in one file, a folder of files by name, or by numbers.

    Attributes:
        focal: Focal length in pixels.
        baseline: Metres between both cameras.
    """

    place: Path | None = None
    focal: float | None = None
    baseline: float | None = None

    def factor(self, name: str) -> float:
        """Focal length times baseline of a picture, by numbers, else as Cityscapes' files say.

        Raises:
            ValueError: If focal length or baseline are not known.
            FileNotFoundError: If a camera file is missing.
        """
        focal, baseline = self.focal, self.baseline
        if self.place is not None and (focal is None or baseline is None):
            path = self.place / f"{name}{CAMERA}.json" if self.place.is_dir() else self.place
            try:
                said = json.loads(path.read_text(encoding="utf-8"))
                focal = float(said["intrinsic"]["fx"]) if focal is None else focal
                baseline = float(said["extrinsic"]["baseline"]) if baseline is None else baseline
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"{path}: no camera file, which holds intrinsic.fx and extrinsic.baseline ({error}): give --focal"
                    " and --baseline"
                ) from None
        if focal is None or baseline is None or min(focal, baseline) <= 0:
            raise ValueError(
                "depth needs the focal length in pixels and the metres between both cameras: give --camera (Cityscapes'"
                " camera/SPLIT, or one of its files), or --focal and --baseline"
            )
        return focal * baseline


def measure_depth(
    left: Path,
    right: Path | None,
    out: Path,
    *,
    cameras: Cameras,
    largest: int = 128,
    watch: Callable[[object], object] = lambda _: None,
) -> dict[str, Any]:
    """Write a 16-bit depth in centimetres, 0 where unknown, for every left picture; those already there are kept.

    Args:
        left: A folder of pictures; of Cityscapes' disparity files if ``right`` is None.
        right: Pictures of the same names but for ``_leftImg8bit`` and ``_rightImg8bit``.
        largest: The largest disparity in pixels, rounded up to a multiple of 16.
        watch: Called after each file.

    Returns:
        How many were ``written`` of how many ``pictures``, and of those the mean share of ``known`` pixels,
        None if there are none.

    Raises:
        ValueError: If a pair does not fit, a camera is unknown, OpenCV is missing, or ``out`` holds other depths.
        FileNotFoundError: If a folder or a file is missing.
    """
    lefts, rights = _pairs(left, right)
    made = {"left": str(left.absolute()), "right": right and str(right.absolute()), "largest": largest}
    _require_same(out, made | {key: value and str(value) for key, value in asdict(cameras).items()})
    waiting = {name for name in lefts if not (out / f"{name}.png").is_file()}
    matcher = Matcher(largest) if right is not None and waiting else None
    known: list[float] = []
    for name in lefts:
        if name in waiting:
            factor = cameras.factor(name)
            if matcher is None:
                disparity = official_disparity(lefts[name])
            else:
                disparity = matcher.disparity(lefts[name], rights[name])
            depth = depth_of(disparity, factor)
            write_depth(out / f"{name}.png", depth)
            known.append(float((depth > 0).mean()))
        watch(name)
    share = float(np.mean(known)) if known else None
    return {"pictures": len(lefts), "written": len(waiting), "known": share}


def official_disparity(path: Path) -> NDArray[np.float32]:
    """Pixels, (value - 1) / 256 of Cityscapes' files; not a number where it is unknown."""
    values = read_depth(path).astype(np.float32)
    return np.where(values > 0, (values - 1) / 256, np.float32(np.nan))


class Matcher:
    """OpenCV's semi-global matching (Hirschmüller, TPAMI 2008), set as its documentation recommends."""

    def __init__(self, largest: int) -> None:
        self.cv = _opencv()
        self.largest = -(-largest // 16) * 16
        smooth = 3 * BLOCK * BLOCK
        self.matcher = self.cv.StereoSGBM.create(
            minDisparity=0, numDisparities=self.largest, blockSize=BLOCK, P1=8 * smooth, P2=32 * smooth,
            disp12MaxDiff=1, uniquenessRatio=10, speckleWindowSize=100, speckleRange=2,
            mode=self.cv.STEREO_SGBM_MODE_SGBM_3WAY,
        )  # fmt: skip

    def disparity(self, left: Path, right: Path) -> NDArray[np.float32]:
        """Pixels by which things lie further left in the right picture; not a number where nothing was found."""
        pictures = [decode(path, rgb) for path in (left, right)]
        if pictures[0].shape != pictures[1].shape:
            (rows, columns), (own_rows, own_columns) = (one.shape[:2] for one in pictures)
            raise ValueError(
                f"{right}: {own_columns}x{own_rows} pixels, but {left.name} has {columns}x{rows} (width x height): make"
                " both equally large"
            )
        # OpenCV leaves out as many columns at the left as it looks for disparities: so many are put before them.
        edges = ((0, 0), (self.largest, 0), (0, 0))
        wide = [np.pad(one, edges, mode="edge") for one in pictures]
        found = self.matcher.compute(wide[0], wide[1])[:, self.largest :].astype(np.float32) / 16
        column = np.arange(found.shape[1], dtype=np.float32)
        return np.where((found > 0) & (found <= column), found, np.float32(np.nan))


def _opencv() -> Any:
    try:
        import cv2
    except ImportError:
        raise ValueError("matching stereo pictures needs OpenCV: pip install 'segue-uda[depth]'") from None
    return cv2


def _pairs(left: Path, right: Path | None) -> tuple[Mapping[str, Path], Mapping[str, Path]]:
    if right is None:
        return _by_name(left, DISPARITY), {}
    lefts, rights = _by_name(left, LEFT), _by_name(right, RIGHT)
    if lost := [name for name in lefts if name not in rights]:
        raise FileNotFoundError(
            f"{right}: no right picture of {lefts[lost[0]]}; {len(lost)} of {len(lefts)} left pictures have none"
        )
    return lefts, rights


def _by_name(folder: Path, suffix: str) -> Mapping[str, Path]:
    """The picture files of a folder, by their names without a suffix."""
    return {name.removesuffix(suffix): path for name, path in find_pictures(folder).items()}


def _require_same(out: Path, made: dict[str, Any]) -> None:
    """Note how depths here are made; ``ValueError`` if otherwise."""
    path = out / "made.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else made
    if different := [name for name in made if before.get(name) != made[name]]:
        name = different[0]
        raise ValueError(
            f"{out} holds depths made otherwise ({name} was {before.get(name)}, is {made[name]}): choose another --out"
        )
    write_text(path, json.dumps(made, indent=1) + "\n")
