"""Fusing four members' stored predictions, against only decoding their files and encoding the result."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from segue.bench.measure import Benchmark, compared
from segue.classes import CITYSCAPES_19
from segue.clock import times_ms
from segue.data.decoding import read_label
from segue.data.picture import read_image
from segue.evaluation.fusing import Fusion
from segue.evaluation.labelling import describe
from segue.evaluation.open_members import open_members
from segue.evaluation.policy import at_random
from segue.evaluation.prediction_files import index_file, write_pictures
from segue.fusion_rules import FusionRules
from segue.memory import keep_memory

PEER = "decode four members' PNGs and encode one"


def rows(
    *, members: int = 4, pictures: int = 8, size: tuple[int, int] = (512, 1024), repeats: int = 5
) -> list[Benchmark]:
    """Time both in milliseconds per picture, on pictures whose members disagree near the borders of things."""
    keep_memory()
    folder = Path(tempfile.mkdtemp())
    try:
        return _rows(folder, members, pictures, size, repeats)
    finally:
        shutil.rmtree(folder)


def _rows(folder: Path, members: int, pictures: int, size: tuple[int, int], repeats: int) -> list[Benchmark]:
    names = [f"{place:03}" for place in range(pictures)]
    paths = {f"m{member}": folder / f"m{member}" for member in range(members)}
    for seed, path in enumerate(paths.values()):
        _write(path, names, seed, size)
    opened = open_members(
        paths, pictures={}, read=read_image, classes=CITYSCAPES_19, maps={}, device=torch.device("cpu")
    )
    rules = FusionRules(policy=at_random(CITYSCAPES_19, list(paths), 0))
    out = folder / "out"

    def fuse() -> None:
        shutil.rmtree(out, ignore_errors=True)
        Fusion(opened.members, CITYSCAPES_19, rules, out).run(names)

    def copy() -> None:
        shutil.rmtree(out, ignore_errors=True)
        for name in names:
            labels = [read_label(index_file(path, name)) for path in paths.values()]
            write_pictures(out, name, {"index": labels[0]})

    times = times_ms({"fuse": fuse, "copy": copy}, repeats=repeats)
    own, other = ([time / pictures for time in times[name]] for name in ("fuse", "copy"))
    return [compared("fuse_four_members", own, other, unit="ms", peer=PEER)]


def _write(folder: Path, names: list[str], seed: int, size: tuple[int, int]) -> None:
    """Labels of large areas that all members share, each member with errors of its own along their borders."""
    describe(folder, CITYSCAPES_19)
    for place, name in enumerate(names):
        shared = torch.Generator().manual_seed(place)
        own = torch.Generator().manual_seed(1000 * seed + place)
        coarse = torch.rand(1, 19, 8, 16, generator=shared) + 0.25 * torch.rand(1, 19, 8, 16, generator=own)
        noise = 0.1 * torch.rand(1, 19, size[0] // 8, size[1] // 8, generator=own)
        logits = F.interpolate(coarse, noise.shape[-2:], mode="bicubic") + noise
        label = F.interpolate(logits, size, mode="bilinear").argmax(1)[0]
        write_pictures(folder, name, {"index": label.numpy().astype(np.uint8)})
