"""Depth of the left picture of a stereo camera: matched by OpenCV, or from Cityscapes' own disparities."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.data.decoding import decode, rgb
from segue.data.depth_file import in_centimetres, read_depth, write_depth
from segue.data.folder_files import find_files
from segue.files import write_text

LEFT, RIGHT, CAMERA, DISPARITY = "_leftImg8bit", "_rightImg8bit", "_camera", "_disparity"
"""What Cityscapes' names end in."""

BLOCK = 5
"""Pixels of the sides of the squares that are matched."""


@dataclass(frozen=True)
class Camera:
    """Two pictures taken side by side; what is not given is read from a camera file.

    Attributes:
        focal: Focal length in pixels.
        baseline: Metres between the two.
    """

    focal: float
    baseline: float

    def depth(self, disparity: NDArray[np.floating]) -> NDArray[np.uint16]:
        """Centimetres, 0 where the disparity is not known (negative or not a number); 0 pixels are infinitely far."""
        with np.errstate(divide="ignore", invalid="ignore"):
            metres = self.focal * self.baseline / disparity
        return in_centimetres(np.where(disparity >= 0, metres, 0))


@dataclass(frozen=True)
class Cameras:
    """Where the camera of a picture is described: in one file, in a folder of files by name, or by numbers."""

    place: Path | None = None
    focal: float | None = None
    baseline: float | None = None

    def of(self, name: str) -> Camera:
        """The camera of a picture, as Cityscapes' files have it unless numbers are given.

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
                "depth needs the focal length in pixels and the metres between both cameras, above 0: give --camera"
                " (Cityscapes' camera/SPLIT, or one of its files), or --focal and --baseline"
            )
        return Camera(focal, baseline)


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
        right: Pictures of the same names; only ``_leftImg8bit`` and ``_rightImg8bit`` differ.
        largest: Disparities up to so many pixels are looked for, rounded up to a multiple of 16.
        watch: Called after each file.

    Returns:
        How many were ``written`` of how many ``pictures``, and of those written the share of pixels that are ``known``
        and the median of their median ``metres``; both None where none is written.

    Raises:
        ValueError: If a pair does not fit, the camera is unknown, OpenCV is missing, or ``out`` holds depths that were
            made otherwise.
        FileNotFoundError: If a folder, a right picture or a camera file is missing.
    """
    lefts, rights = _pairs(left, right)
    made = {"left": str(left.absolute()), "right": right and str(right.absolute()), "largest": largest}
    _require_same(out, made | {key: value and str(value) for key, value in asdict(cameras).items()})
    waiting = [name for name in lefts if not (out / f"{name}.png").is_file()]
    matcher = Matcher(largest) if right is not None and waiting else None
    known: list[float] = []
    metres: list[float] = []
    for name in lefts:
        if name in waiting:
            camera = cameras.of(name)
            if matcher is None:
                disparity = official_disparity(lefts[name])
            else:
                disparity = matcher.disparity(lefts[name], rights[name])
            depth = camera.depth(disparity)
            write_depth(out / f"{name}.png", depth)
            known.append(float((depth > 0).mean()))
            metres += [float(np.median(depth[depth > 0])) / 100] if known[-1] else []
        watch(name)
    return {
        "pictures": len(lefts),
        "written": len(waiting),
        "known": float(np.mean(known)) if known else None,
        "metres": float(np.median(metres)) if metres else None,
    }


def official_disparity(path: Path) -> NDArray[np.float32]:
    """Pixels, from one of Cityscapes' disparity files, (value - 1) / 256; not a number where it is unknown."""
    values = read_depth(path).astype(np.float32)
    return np.where(values > 0, (values - 1) / 256, np.float32(np.nan))


class Matcher:
    """OpenCV's semi-global matching, with the settings that its documentation recommends.

    Source: Hirschmüller, TPAMI 2008, in the variant of OpenCV.

    Args:
        largest: As in :func:`measure_depth`.

    Raises:
        ValueError: If OpenCV is not installed.
    """

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
        """Pixels by which things lie further left in the right picture; not a number where nothing was found.

        Raises:
            ValueError: If the two are not equally large, or not wider than the largest disparity.
        """
        pictures = [decode(path, rgb) for path in (left, right)]
        if pictures[0].shape != pictures[1].shape:
            (rows, columns), (other_rows, other_columns) = (one.shape[:2] for one in pictures)
            raise ValueError(
                f"{right}: {other_columns}x{other_rows} pixels, but {left.name} has {columns}x{rows} (width x height):"
                " the two pictures of a pair are equally large"
            )
        # OpenCV leaves out as many columns at the left as it looks for disparities: so many more stand before them.
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
    """The picture files of a folder, with names that end before a suffix if any of them has it."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    found = find_files(folder, suffix=suffix) or find_files(folder)
    if not found:
        raise ValueError(f"{folder}: no picture here; jpg, png, bmp, tif and webp files are looked for")
    return found


def _require_same(out: Path, made: dict[str, Any]) -> None:
    """Say in the folder how its depths are made; ``ValueError`` if they were made otherwise."""
    path = out / "made.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else made
    if different := [name for name in made if before.get(name) != made[name]]:
        name = different[0]
        raise ValueError(
            f"{out} holds depths made otherwise ({name} was {before.get(name)}, is {made[name]}): choose another --out"
        )
    write_text(path, json.dumps(made, indent=1) + "\n")
