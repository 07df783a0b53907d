"""One decoding of a file tells all that checks need, as training reads it, without torch, at the speed of decoding."""

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.checking.conftest import label, picture, save

from segue.checking.look import Look, Task, look, look_at
from segue.data.decoding import read_label
from segue.data.label_file import deep_png


def seen(path: Path, kind: str = "picture", **more: bool) -> Look:
    return look(Task(path, kind, **more))


@pytest.mark.parametrize("mode", ["L", "P", "1", "LA", "I;16"])
def test_label_values_are_those_that_training_reads(tmp_path: Path, mode: str) -> None:
    values = np.minimum(label(0), 1) if mode == "1" else label(0)
    path = tmp_path / "a.png"
    if mode == "I;16":
        Image.fromarray(values.astype(np.uint16) + 300).save(path)
    elif mode == "P":
        shown = Image.fromarray(values)
        shown.putpalette([0, 0, 0, 255, 0, 0])
        shown.save(path)
    else:
        Image.fromarray(values * (255 if mode == "1" else 1)).convert(mode).save(path)
    found, numbers = np.unique(read_label(path), return_counts=True)
    assert seen(path, "label").values == dict(zip(found.tolist(), numbers.tolist(), strict=True))


@pytest.mark.parametrize("bits", [2, 4])
def test_narrow_grey_labels_are_not_spread(tmp_path: Path, bits: int) -> None:
    """Pillow reads grey PNGs of few bits spread over 0 to 255; training divides again, and so do checks."""
    import struct
    import zlib

    rows = b"\x00\x1b" + b"\x00\x1b"
    columns = 8 // bits
    header = struct.pack(">IIBBBBB", columns, 2, bits, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    content = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    assert set(seen(path, "label").values or {}) == set(np.unique(read_label(path)).tolist())


def test_deep_labels_and_colours(tmp_path: Path) -> None:
    channels = np.stack([label(0).astype(np.uint16), label(1).astype(np.uint16) * 300, label(2) * 0], axis=-1)
    path = tmp_path / "a.png"
    path.write_bytes(deep_png(channels.astype(np.uint16)))
    assert set(seen(path, "deep label").values or {}) == {0, 1, 2, 255}
    save(np.stack([label(0)] * 3, axis=-1), path)
    assert set(seen(path, "label").colours or {}) == {(v, v, v) for v in (0, 1, 2, 255)}


def test_colours_of_a_picture(tmp_path: Path) -> None:
    pixels = np.zeros((128, 128, 3), np.uint8)
    pixels[:64], pixels[..., 2] = 200, 7
    one = seen(save(pixels, tmp_path / "a.png"))
    assert one.mean == pytest.approx((100, 100, 7)) and one.deviation == pytest.approx(
        (100, 100, 0), abs=1e-3
    )
    assert one.size == (128, 128) and one.bits == 8 and not one.is_blank


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("used", [10, 12, 16])
def test_bits_that_are_used_of_sixteen(tmp_path: Path, channels: int, used: int) -> None:
    grey = np.linspace(0, 2**used - 1, 64 * 64).reshape(64, 64).astype(np.uint16)
    path = tmp_path / "a.png"
    if channels == 1:
        Image.fromarray(grey).save(path)
    else:
        path.write_bytes(deep_png(np.stack([grey] * 3, axis=-1)))
    one = seen(path)
    assert one.bits == 16 and one.used_bits == used


def bits_apart(one: Look, other: Look) -> int:
    assert one.fingerprint and other.fingerprint
    return (int.from_bytes(one.fingerprint, "big") ^ int.from_bytes(other.fingerprint, "big")).bit_count()


def test_fingerprints_survive_saving_and_resizing_and_tell_pictures_apart(tmp_path: Path) -> None:
    original = seen(save(picture(0, 240, 320), tmp_path / "a.png"))
    again = seen(save(picture(0, 240, 320), tmp_path / "b.jpg", quality=50))
    Image.fromarray(picture(0, 240, 320)).resize((200, 150)).save(tmp_path / "c.png")
    other = seen(save(picture(1, 240, 320), tmp_path / "d.png"))
    assert bits_apart(original, again) <= 16 and bits_apart(original, seen(tmp_path / "c.png")) <= 16
    assert bits_apart(original, other) > 60


def test_a_header_alone_says_size_kind_and_orientation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(picture(0), tmp_path / "a.jpg", exif=exif)
    one = seen(path, pixels=False)
    assert (one.size, one.orientation, one.format) == ((64, 48), 6, "JPEG") and one.mean is None
    assert seen(path).size == (64, 48)
    path.write_bytes(path.read_bytes()[:-300])
    assert "cut off" in seen(path, pixels=False).problem and "cut off" in seen(path).problem


def test_rubbish_becomes_a_problem_and_never_an_exception(tmp_path: Path) -> None:
    generator = random.Random(0)
    whole = [
        save(picture(0), tmp_path / f"whole.{end}").read_bytes()
        for end in ("png", "jpg", "webp", "tif", "bmp")
    ]
    path = tmp_path / "a.png"
    for turn in range(200):
        content = bytearray(generator.choice(whole))
        for _ in range(generator.randint(1, 30)):
            content[generator.randrange(len(content))] = generator.randrange(256)
        path.write_bytes(content[: generator.randrange(len(content))] if turn % 2 else content)
        for kind in ("picture", "label"):
            assert isinstance(seen(path, kind), Look)
    assert seen(tmp_path / "nowhere.png").problem


@pytest.mark.slow
def test_processes_see_what_one_sees_in_the_same_order(tmp_path: Path) -> None:
    tasks = [Task(save(picture(n), tmp_path / f"{n}.png"), "picture") for n in range(40)]
    told: list[object] = []
    assert look_at(tasks, workers=2, watch=told.append) == look_at(tasks, workers=0) == told


def test_the_processes_load_no_torch() -> None:
    code = "import sys, segue.checking.checks, segue.checking.look; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_looking_takes_little_more_than_decoding(tmp_path: Path) -> None:
    """On 512 x 1024 pixels less than 1.5 times the time, each at its best (check_speed.py: 10 000 files)."""
    generator = np.random.default_rng(0)
    grain = generator.integers(0, 30, (512, 1024, 3)).astype(np.uint8)
    image = save(picture(0, 512, 1024) // 2 + grain, tmp_path / "a.jpg", quality=90)
    regions = Image.fromarray(label(0)).resize((1024, 512), Image.Resampling.NEAREST).rotate(20)
    regions.save(tmp_path / "a.png")

    def bare(path: Path) -> float:
        began = time.process_time()
        with Image.open(path) as opened:
            opened.load()
        return time.process_time() - began

    def looked(path: Path, kind: str) -> float:
        began = time.process_time()
        look(Task(path, kind))
        return time.process_time() - began

    decoding, looking = [], []
    for _ in range(25):
        decoding.append(bare(image) + bare(tmp_path / "a.png"))
        looking.append(looked(image, "picture") + looked(tmp_path / "a.png", "label"))
    assert min(looking) < 1.5 * min(decoding)
