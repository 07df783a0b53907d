"""Proves what is read from each kind of picture file, and how damaged or unsuitable ones are refused."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segue.data.decoding import picture_size, read_label, require_one_channel, require_whole
from segue.data.picture import read_image, read_reduced

Save = Callable[..., Path]
RAMP = np.arange(48, dtype=np.uint8).reshape(6, 8)
COLOURS = np.stack([RAMP, RAMP + 50, RAMP + 100], axis=2)


def grey_png(path: Path, rows: list[bytes], columns: int, bits: int) -> Path:
    """A grey PNG of few bits, which Pillow cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", columns, len(rows), bits, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize("extension", ["png", "bmp", "tif", "PNG"])
def test_colours_are_read_as_stored_in_every_lossless_format(
    save_picture: Save, tmp_path: Path, extension: str
):
    image = read_image(save_picture(COLOURS, tmp_path / f"a.{extension}"))
    assert np.array_equal(image.permute(1, 2, 0).numpy(), COLOURS)


@pytest.mark.parametrize("extension", ["jpg", "JPEG", "webp"])
def test_lossy_formats_are_read(save_picture: Save, tmp_path: Path, extension: str) -> None:
    image = read_image(save_picture(np.full((6, 8, 3), 90, np.uint8), tmp_path / f"a.{extension}"))
    assert image.shape == (3, 6, 8) and abs(int(image[0, 3, 3]) - 90) < 3


def test_grey_becomes_three_channels(save_picture: Save, tmp_path: Path) -> None:
    for mode in ("L", "LA"):
        image = read_image(save_picture(RAMP, tmp_path / f"{mode}.png", mode))
        assert all(np.array_equal(channel.numpy(), RAMP) for channel in image)


def test_alpha_is_dropped_not_blended(tmp_path: Path) -> None:
    clear = np.dstack([COLOURS, np.zeros_like(RAMP)])
    Image.fromarray(clear).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png").permute(1, 2, 0).numpy(), COLOURS)


def test_palette_pictures_show_their_colours(tmp_path: Path) -> None:
    picture = Image.fromarray(RAMP % 2).convert("P")
    picture.putpalette([10, 20, 30, 40, 50, 60])
    for name, extra in (("plain", {}), ("clear", {"transparency": b"\0\xff"})):
        picture.save(tmp_path / f"{name}.png", **extra)
        image = read_image(tmp_path / f"{name}.png")
        assert image[:, 0, 0].tolist() == [10, 20, 30] and image[:, 0, 1].tolist() == [40, 50, 60]


def test_sixteen_bits_keep_the_upper_eight(save_picture: Save, tmp_path: Path) -> None:
    path = save_picture(RAMP.astype(np.uint16) * 256 + 255, tmp_path / "a.png")
    assert np.array_equal(read_image(path)[1].numpy(), RAMP)


def test_fractions_are_refused(save_picture: Save, tmp_path: Path) -> None:
    path = save_picture(RAMP.astype(np.float32), tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"a\.tif: its values are float32"):
        read_image(path)


def test_a_turned_photograph_is_set_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a.jpg", "a.png"):
        Image.fromarray(COLOURS).save(tmp_path / name, exif=exif)
        assert picture_size(tmp_path / name) == (8, 6) == read_image(tmp_path / name).shape[1:]
    assert np.array_equal(read_image(tmp_path / "a.png")[0].numpy(), np.rot90(RAMP, -1))


def test_labels_are_read_as_numbers_from_every_kind_of_file(save_picture: Save, tmp_path: Path) -> None:
    files = [save_picture(RAMP, tmp_path / f"L.{end}", "L") for end in ("png", "bmp", "tif")]
    files.append(save_picture(RAMP.astype(np.uint16), tmp_path / "sixteen.png"))
    files.append(save_picture(RAMP.astype(np.int32), tmp_path / "thirty_two.tif"))
    files.append(save_picture(RAMP, tmp_path / "alpha.png", "LA"))
    palette = Image.fromarray(RAMP)
    palette.putpalette([255 - value // 3 for value in range(768)])
    palette.save(tmp_path / "palette.png")
    for path in (*files, tmp_path / "palette.png"):
        assert np.array_equal(read_label(path), RAMP), path.name
    assert read_label(save_picture(RAMP.astype(np.uint16) + 1000, tmp_path / "high.png"))[0, 1] == 1001


def test_labels_of_few_bits_are_not_spread(tmp_path: Path) -> None:
    four = grey_png(tmp_path / "four.png", [b"\x01\x23", b"\xef\x45"], 4, 4)
    two = grey_png(tmp_path / "two.png", [b"\x1b"], 4, 2)
    one = grey_png(tmp_path / "one.png", [b"\x50"], 4, 1)
    assert read_label(four).tolist() == [[0, 1, 2, 3], [14, 15, 4, 5]]
    assert read_label(two).tolist() == [[0, 1, 2, 3]]
    assert read_label(one).tolist() == [[0, 1, 0, 1]]


@pytest.mark.parametrize(("name", "words"), [("a.png", "for colour masks, list"), ("a.jpg", "JPEG")])
def test_colour_and_jpeg_labels_are_refused(
    save_picture: Save, tmp_path: Path, name: str, words: str
) -> None:
    path = save_picture(COLOURS, tmp_path / name)
    for refuse in (read_label, require_one_channel):
        with pytest.raises(ValueError, match=rf"{name}: .*{words}.* PNG$"):
            refuse(path)


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_a_file_cut_off_is_found_without_and_while_decoding(save_picture: Save, tmp_path: Path, name: str):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = save_picture(noise, tmp_path / name)
    require_whole(path)
    path.write_bytes(path.read_bytes()[:-2000])
    for read in (require_whole, read_image):
        with pytest.raises(ValueError, match=rf"{name}: .*damaged or cut off: replace or remove it$"):
            read(path)


def test_bytes_after_the_end_of_a_picture_do_no_harm(save_picture: Save, tmp_path: Path) -> None:
    path = save_picture(COLOURS, tmp_path / "a.png")
    path.write_bytes(path.read_bytes() + bytes(5000))
    require_whole(path)


@pytest.mark.parametrize(
    "content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + bytes(40), b"\xff\xd8\xff\xe0"]
)
def test_what_is_no_picture_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for read in (read_image, read_label, picture_size, require_whole):
        with pytest.raises(ValueError, match=r"a\.png: not readable") as caught:
            read(path)
        assert "\n" not in str(caught.value) and str(caught.value).count("a.png") == 1


def test_a_missing_file_stays_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"a\.png"):
        read_image(tmp_path / "a.png")


def test_a_jpeg_is_decoded_no_smaller_than_it_is_needed(tmp_path: Path) -> None:
    smooth = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8))
    smooth = smooth.resize((320, 240), Image.Resampling.BICUBIC)
    smooth.save(tmp_path / "a.jpg", quality=95)
    smooth.save(tmp_path / "a.png")
    for box, shape in (
        ((120, 160), (120, 160)),
        ((121, 161), (240, 320)),
        ((31, 41), (60, 80)),
        ((30, 40), (30, 40)),
    ):
        image, size = read_reduced(tmp_path / "a.jpg", box)
        assert size == (240, 320) and image.shape == (3, *shape), box
        whole = Image.fromarray(read_image(tmp_path / "a.jpg").permute(1, 2, 0).numpy())
        expected = np.asarray(whole.resize((shape[1], shape[0]), Image.Resampling.BOX)).transpose(2, 0, 1)
        assert np.abs(image.numpy().astype(int) - expected).mean() < 2
    assert read_reduced(tmp_path / "a.png", (30, 40))[0].shape == (3, 240, 320)


def test_a_turned_jpeg_is_decoded_smaller_and_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLOURS).resize((320, 160)).save(tmp_path / "a.jpg", exif=exif)
    image, size = read_reduced(tmp_path / "a.jpg", (80, 160))
    assert size == (320, 160) and image.shape == (3, 160, 80)
