"""Proves that 16-bit labels are read whole whatever filters they use, colour masks by their colours, others refused."""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segue.classes import class_list
from segue.data.class_map import parse_label_classes
from segue.data.folder import ImageFolder
from segue.data.label_file import colour_labels, deep_png, read_deep_label, require_deep

PIXEL = 6


def filtered(channels: np.ndarray, kinds: list[int]) -> bytes:
    """As the PNG specification says: each row minus a prediction from its left, upper and upper-left neighbours."""
    rows = channels.astype(">u2").reshape(len(channels), -1).view(np.uint8).astype(int)
    left = np.pad(rows, ((0, 0), (PIXEL, 0)))[:, :-PIXEL]
    above = np.pad(rows, ((1, 0), (0, 0)))[:-1]
    corner = np.pad(above, ((0, 0), (PIXEL, 0)))[:, :-PIXEL]
    guess = left + above - corner
    far = [abs(guess - near) for near in (left, above, corner)]
    paeth = np.where((far[0] <= far[1]) & (far[0] <= far[2]), left, np.where(far[1] <= far[2], above, corner))
    predicted = [0 * rows, left, above, (left + above) // 2, paeth]
    lines = [
        bytes([k]) + ((rows[y] - predicted[k][y]) % 256).astype(np.uint8).tobytes()
        for y, k in enumerate(kinds)
    ]
    return b"".join(lines)


def with_data(png: bytes, data: bytes) -> bytes:
    """The same PNG with other compressed rows."""
    begin = png.index(b"IDAT")
    body = b"IDAT" + zlib.compress(data)
    new = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[: begin - 4] + new + png[png.index(b"IEND") - 4 :]


def random_channels(seed: int, height: int = 7, width: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 65536, (height, width, 3), dtype=np.uint16)


@settings(max_examples=30)
@given(st.integers(0, 99), st.lists(st.integers(0, 4), min_size=7, max_size=7))
def test_every_filter_gives_the_first_channel_back(
    tmp_path_factory: pytest.TempPathFactory, seed: int, kinds: list[int]
) -> None:
    channels = random_channels(seed)
    path = tmp_path_factory.mktemp("deep") / "label.png"
    path.write_bytes(with_data(deep_png(channels), filtered(channels, kinds)))
    assert np.array_equal(read_deep_label(path), channels[..., 0])


def test_what_is_written_is_a_deep_png(tmp_path: Path) -> None:
    path = tmp_path / "label.png"
    path.write_bytes(deep_png(random_channels(1)))
    require_deep(path)
    with Image.open(path) as picture:
        assert picture.size == (5, 7)
        assert np.array_equal(np.asarray(picture), random_channels(1) >> 8), "Pillow sees the upper bytes"


@pytest.mark.parametrize(
    ("mode", "found"),
    [("RGB", "RGB with 8 bits"), ("L", "L with 8 bits"), ("P", "P with 8 bits"), ("I;16", "I with 16 bits")],
)
def test_other_files_are_refused_by_what_they_are(tmp_path: Path, mode: str, found: str) -> None:
    path = tmp_path / "0000001.png"
    Image.new(mode, (4, 3)).save(path)
    for refuse in (require_deep, read_deep_label):
        with pytest.raises(
            ValueError, match=rf"0000001\.png: found {found} a channel, but a SYNTHIA label"
        ) as e:
            refuse(path)
        assert "take the files of GT/LABELS" in str(e.value) and "\n" not in str(e.value)


def test_a_file_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "label.png"
    path.write_bytes(deep_png(random_channels(2, 40, 40))[:-2000])
    with pytest.raises(ValueError, match=r"label\.png: not readable as a picture"):
        read_deep_label(path)


COLOURS = {0: (128, 64, 128), 3: (0, 0, 142), 300: (0, 0, 0)}


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_become_label_values(tmp_path: Path, mode: str) -> None:
    values = np.array([[0, 3, 300], [3, 3, 0]])
    pixels = np.array([[COLOURS[value] for value in row] for row in values.tolist()], dtype=np.uint8)
    path = tmp_path / "mask.png"
    Image.fromarray(pixels).convert(mode).save(path)
    reader = colour_labels(COLOURS)
    reader.require(path)
    assert np.array_equal(reader.read(path), values)


def test_labels_of_one_channel_are_read_as_they_are(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 3]], dtype=np.uint8)).save(tmp_path / "label.png")
    Image.new("RGB", (2, 1)).save(tmp_path / "label.jpg")
    reader = colour_labels(COLOURS)
    assert reader.read(tmp_path / "label.png").tolist() == [[0, 3]]
    with pytest.raises(ValueError, match="a JPEG cannot hold labels"):
        reader.require(tmp_path / "label.jpg")


def test_unknown_and_shared_colours_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.new("RGB", (3, 2), (1, 2, 3)).save(path)
    message = r"mask\.png: 6 pixels have colours of no class, the first \(1, 2, 3\); add the colour to the class list"
    with pytest.raises(ValueError, match=message):
        colour_labels(COLOURS).read(path)
    with pytest.raises(
        ValueError, match=r"mask\.png: a colour mask, but several classes have the colour \(0, 0, 142\)"
    ):
        colour_labels({**COLOURS, 5: (0, 0, 142)}).require(path)


def test_a_void_colour_is_not_labelled(tmp_path: Path) -> None:
    """Black is what Pascal VOC, CamVid and most tools paint where nothing is labelled."""
    listed = {"classes": ["road", "car"], "colours": [[128, 64, 128], [0, 0, 142]], "void": [0, 0, 0]}
    pixels = np.array([[[128, 64, 128], [0, 0, 0], [0, 0, 142], [224, 224, 192]]], np.uint8)
    for place, (void, width) in enumerate((([0, 0, 0], 3), ([[0, 0, 0], [224, 224, 192]], 4))):
        root = tmp_path / f"{place}"
        for kind in ("images", "labels"):
            (root / kind).mkdir(parents=True)
            Image.fromarray(pixels[:, :width]).save(root / kind / "a.png")
        (root / "classes.json").write_text(json.dumps({**listed, "void": void}))
        folder = ImageFolder(root, classes=class_list(["road", "car"]), labelled=True)
        assert folder.label(0).tolist() == [[0, 255, 1, 255][:width]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"void": [0, 0, 142]}, "both void and class 'car'"),
        ({"void": [0, 0]}, "not a colour"),
        ({"colours": None}, "void goes with colours"),
        ({"ignore": []}, "a value to ignore"),
    ],
)
def test_void_colours_that_cannot_be_meant(change: dict, message: str) -> None:
    listed = {
        "classes": ["road", "car"],
        "colours": [[128, 64, 128], [0, 0, 142]],
        "void": [0, 0, 0],
    } | change
    content = {key: value for key, value in listed.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        parse_label_classes(content, "the list")
