"""How much longer `segue check` takes than decoding the same files and nothing else.

python benchmarks/check_speed.py --files 10000 --keep /tmp/check_speed

Both decode in the same number of processes, in turn; the median of the ratios is printed. What is measured is all that
grows with the number of files: looking at each, comparing all fingerprints, and the findings.
"""

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from segue.checking.account import account_of
from segue.checking.look import TOGETHER
from segue.classes import CITYSCAPES_19
from segue.engine.inventory import take_inventory
from segue.engine.settings import DataSettings, DomainSettings
from segue.machine import cores

SIZE = (512, 1024)


def write(folder: Path, pairs: int) -> None:
    """Pictures as detailed as photographs, and labels with regions as large as a street's; none is like another."""
    generator = np.random.default_rng(0)
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    rows, columns = SIZE
    for number in range(len(list((folder / "labels").iterdir())), pairs):
        coarse = generator.integers(0, 256, (rows // 16, columns // 16, 3)).astype(np.uint8)
        picture = Image.fromarray(coarse).resize((columns, rows), Image.Resampling.BICUBIC)
        grain = generator.integers(-12, 13, (rows, columns, 1))
        pixels = (np.asarray(picture) + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number:06}.jpg", quality=90)
        label = Image.fromarray(generator.integers(0, 19, (24, 48)).astype(np.uint8))
        label = label.resize((columns, rows), Image.Resampling.NEAREST)
        label.transform(
            label.size, Image.Transform.QUAD, (0, 0, 9, rows, columns, rows - 9, columns - 9, 0)
        ).save(folder / "labels" / f"{number:06}.png")


def bare(path: str) -> None:
    """Decode a file."""
    with Image.open(path) as picture:
        picture.load()


def decode_all(paths: list[str], workers: int) -> float:
    """Seconds for decoding all."""
    began = time.perf_counter()
    with ProcessPoolExecutor(workers, mp_context=get_context("forkserver")) as pool:
        for _ in pool.map(bare, paths, chunksize=TOGETHER):
            pass
    return time.perf_counter() - began


def check_all(folder: Path, workers: int) -> float:
    """Seconds for checking all, of what is the source and, without labels, the target."""
    domain = DomainSettings(root=folder)
    data = DataSettings(classes=list(CITYSCAPES_19.names), source=domain, target=domain)
    began = time.perf_counter()
    survey = take_inventory(data, only=("source",))
    survey.look(workers=workers)
    account_of(survey)
    return time.perf_counter() - began


def main() -> None:
    """Print the ratios and their median."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=10_000, help="pictures and labels together")
    parser.add_argument("--workers", type=int, default=cores())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="where the files are written and kept")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        write(folder, given.files // 2)
        paths = [str(path) for kind in ("images", "labels") for path in sorted((folder / kind).iterdir())]
        paths = paths[: given.files]
        ratios: list[float] = []
        for _ in range(given.repeats):
            decoded, checked = decode_all(paths, given.workers), check_all(folder, given.workers)
            ratios.append(checked / decoded)
            print(f"decoding {decoded:.1f} s, check {checked:.1f} s: {ratios[-1]:.2f}", flush=True)
        print(f"median of {given.repeats} on {len(paths)} files: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
