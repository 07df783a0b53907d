"""Reading batches, against only decoding the same files with as many processes.

What the loader does beside decoding (cropping, mirroring, sending the batch to the main process, normalising there) is
what is compared.
"""

import multiprocessing
import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing
from functools import partial
from multiprocessing.pool import Pool
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from segue.bench.measure import Benchmark, compared
from segue.classes import CITYSCAPES_19
from segue.clock import in_turns, now
from segue.data.crop import RandomCrop
from segue.data.dataset import Dataset
from segue.data.folder import ImageFolder
from segue.data.loader import Loader
from segue.machine import cores
from segue.memory import keep_memory

PEER = "decode the same pictures and labels with as many processes"

CPU = torch.device("cpu")

MEAN, STD = (123.7, 116.3, 103.5), (58.4, 57.1, 57.4)


def rows(
    *,
    pictures: int = 16,
    size: tuple[int, int] = (720, 1280),
    crop: int = 512,
    batch: int = 2,
    steps: int = 40,
    workers: int | None = None,
    repeats: int = 5,
) -> list[Benchmark]:
    """Time both in milliseconds per pair of a labelled source picture and a target picture.

    Args:
        pictures: In each domain, as JPEG files.
        steps: Batches of a turn that are timed, once the loader is reading as far ahead as it does.
        workers: Processes that read; one for every core but that of the training, and at most four, if None.
    """
    keep_memory()
    torch.set_num_threads(1)  # further ones would only take the cores of those that read
    processes = min(4, max(1, cores() - 1)) if workers is None else workers
    folder = Path(tempfile.mkdtemp())
    try:
        for place in range(pictures):
            write_picture(folder, f"{place:03}", place, size)
        source = ImageFolder(folder, classes=CITYSCAPES_19, labelled=True)
        target = ImageFolder(folder, classes=CITYSCAPES_19, labelled=False)
        return _rows(source, target, crop=crop, batch=batch, steps=steps, workers=processes, repeats=repeats)
    finally:
        shutil.rmtree(folder)


def _rows(
    source: Dataset, target: Dataset, *, crop: int, batch: int, steps: int, workers: int, repeats: int
) -> list[Benchmark]:
    cut = RandomCrop((crop, crop), fill=MEAN, max_share=0.75)
    loader = Loader(
        source, target, source_transform=cut, batch=batch, seed=0, mean=MEAN, std=STD, workers=workers
    )
    decode = partial(_decode, source, target)
    pairs = steps * batch
    with multiprocessing.Pool(max(1, workers)) as pool:
        spent = in_turns(
            {
                "loader": lambda: _seconds(loader, steps),
                "decoding": lambda: _seconds_of_decoding(pool if workers else None, decode, pairs),
            },
            repeats=repeats,
        )
    own, other = ([1000 * seconds / pairs for seconds in spent[name]] for name in ("loader", "decoding"))
    return [compared("loader", own, other, unit="ms", peer=f"{PEER}: {workers}")]


def _seconds(loader: Loader, steps: int) -> float:
    """The time of so many steps, from when the loader reads ahead to before it comes to the end."""
    ahead = 2 * loader.workers + 1
    batches = loader.steps(0, steps + 2 * ahead)
    with closing(batches):
        for _ in range(ahead):
            next(batches)
        began = now(loader.device)
        for _ in range(steps):
            next(batches)
        return now(loader.device) - began


def _seconds_of_decoding(pool: Pool | None, decode: Callable[[int], None], pairs: int) -> float:
    began = now(CPU)
    list(map(decode, range(pairs)) if pool is None else pool.imap_unordered(decode, range(pairs)))
    return now(CPU) - began


def _decode(source: Dataset, target: Dataset, place: int) -> None:
    source.image(place % len(source))
    source.label(place % len(source))
    target.image(place % len(target))


def write_picture(folder: Path, name: str, seed: int, size: tuple[int, int]) -> None:
    """A picture as hard to compress as a photograph, and a label of large areas."""
    drawn = np.random.default_rng(seed)
    areas = drawn.integers(0, 19, (9, 16), np.uint8)
    label = Image.fromarray(areas).resize((size[1], size[0]), Image.Resampling.NEAREST)
    coarse = Image.fromarray(drawn.integers(0, 256, (size[0] // 4, size[1] // 4, 3), np.uint8))
    image = coarse.resize((size[1], size[0]), Image.Resampling.BICUBIC)
    for kind, picture, end in (("images", image, "jpg"), ("labels", label, "png")):
        (folder / kind).mkdir(exist_ok=True)
        picture.save(folder / kind / f"{name}.{end}")
