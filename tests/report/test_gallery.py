"""Pictures become small data URIs; class maps keep their exact colours; what cannot be read is left out."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segue.report.data_uris import embed_labels, embed_photograph, embed_sheet
from segue.report.gallery import MOST, choose_pictures, view_sheets
from segue.report.roles import assign_roles
from segue.report.run_folder import RunFolder


def decoded(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB"))


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    colours = np.random.default_rng(0).integers(0, 256, (3, 3), dtype=np.uint8)
    pixels = colours[np.random.default_rng(1).integers(0, 3, (8, 2048))]
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    return tmp_path / "wide.png"


def test_wide_pictures_are_scaled_down(wide: Path) -> None:
    for picture in (embed_photograph(wide), embed_labels(wide, [])):
        assert picture is not None and (picture.width, picture.height) == (512, 2)
        assert decoded(picture.uri).shape == (2, 512, 3)
    photo, drawing = embed_photograph(wide), embed_sheet(wide)
    assert photo is not None and photo.uri.startswith("data:image/jpeg;base64,")
    assert drawing is not None and drawing.width == 1280


def test_class_maps_mix_no_colours(wide: Path) -> None:
    picture = embed_labels(wide, [])
    assert picture is not None
    there = {tuple(c) for c in decoded(picture.uri).reshape(-1, 3).tolist()}
    assert there <= {tuple(c) for c in decoded(as_uri(wide)).reshape(-1, 3).tolist()}


def as_uri(path: Path) -> str:
    return "," + base64.b64encode(path.read_bytes()).decode()


def test_ids_get_the_palette(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).save(tmp_path / "ids.png")
    picture = embed_labels(tmp_path / "ids.png", [(10, 20, 30), (40, 50, 60)])
    assert picture is not None and decoded(picture.uri).tolist() == [[[10, 20, 30], [40, 50, 60]]]


def test_what_cannot_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / "half.png").write_bytes(b"\x89PNG\r\n\x1a\n half")
    for path in (None, tmp_path / "half.png", tmp_path / "missing.png"):
        assert embed_photograph(path) is None and embed_labels(path, []) is None and embed_sheet(path) is None


def test_worst_come_first_and_all_runs_are_shown(make_run) -> None:
    runs = assign_roles(
        [RunFolder(make_run("source_only", pictures=15)), RunFolder(make_run("daformer", pictures=15))]
    )
    gallery = choose_pictures(runs)
    scores = [row.items[-1].mean_iou for row in gallery.rows]
    assert scores == sorted(scores) and len(scores) == MOST and gallery.total == 15
    assert [item.title for item in gallery.rows[0].items] == [
        "picture",
        "label",
        "source_only",
        "daformer",
    ]
    assert all(item.picture is not None for item in gallery.rows[0].items)


def test_a_run_without_pictures_has_an_empty_place(make_run) -> None:
    runs = assign_roles([RunFolder(make_run("source_only", pictures=0)), RunFolder(make_run("daformer"))])
    assert choose_pictures(runs).rows[0].items[2].picture is None
    assert [step for step, _ in view_sheets(runs[1])] == [0, 200] and view_sheets(runs[0]) == []
