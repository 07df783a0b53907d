"""Panels hold the photograph, the label and every run's prediction, in rows that all runs share."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segue.report.panels import GAP, HEADING, write_panels


def run_folder(path: Path, names: list[str], shade: int) -> Path:
    runs = []
    for name in names:
        folder = path / "pictures/evaluation" / name
        folder.mkdir(parents=True)
        for kind, value in (("image", 10), ("label", 20), ("prediction", shade)):
            Image.fromarray(np.full((20, 40, 3), value, np.uint8)).save(folder / f"{kind}.png")
        run = {kind: f"pictures/evaluation/{name}/{kind}.png" for kind in ("image", "label", "prediction")}
        runs.append({"name": name, "mean_iou": 0.5, **run})
    (path / "pictures/evaluation/index.json").write_text(json.dumps(runs))
    return path


def test_columns_and_rows(tmp_path: Path) -> None:
    one, two = run_folder(tmp_path / "one", ["a", "b"], 30), run_folder(tmp_path / "two", ["b", "c"], 40)
    out = write_panels(tmp_path / "panels.png", [one, two], width=80)
    with Image.open(out) as image:
        assert image.size == (4 * (80 + GAP) - GAP, HEADING + 40)
        middle = [image.getpixel((place * (80 + GAP) + 40, HEADING + 20))[0] for place in range(4)]
    assert middle == [10, 20, 30, 40]


def test_runs_without_a_common_picture_are_refused(tmp_path: Path) -> None:
    one, two = run_folder(tmp_path / "one", ["a"], 30), run_folder(tmp_path / "two", ["b"], 40)
    with pytest.raises(ValueError, match="no evaluated picture in common"):
        write_panels(tmp_path / "panels.png", [one, two])


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    """As a study's are, which are all called by their seed."""
    one, two = (run_folder(tmp_path / row / "seed0", ["a"], 30) for row in ("advent", "dacs"))
    out = write_panels(tmp_path / "panels.png", [one, two], width=200)
    with Image.open(out) as image:
        pixels = np.array(image)
    first, second = (pixels[:HEADING, place * (200 + GAP) :][:, :200] for place in (2, 3))
    assert not np.array_equal(first, second)
