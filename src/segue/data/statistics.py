"""What the labels of a data set say as a whole: class pixels, picture by picture, and the spatial prior."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from segue.data.checked import REMEMBERED, cache_folder
from segue.data.dataset import Dataset
from segue.files import write_text
from segue.ops.prior import count_cells, spatial_prior
from segue.progress import counting
from segue.types import IGNORE

VERSION = 1

PRIOR_ROWS = 128
"""Rows of the spatial prior's grid: eight pixels of GTA5 are one cell, the smoothing is nine cells wide."""


@dataclass(frozen=True)
class ClassStatistics:
    """Class pixels of a labelled data set, picture by picture.

    Attributes:
        pixels: The number of pixels of each class in each picture.
        sizes: The number of pixels of each picture, ignored ones included.
    """

    names: tuple[str, ...]
    pixels: Int64[Tensor, "n k"]
    sizes: Int64[Tensor, " n"]

    @property
    def frequency(self) -> Float[Tensor, " k"]:
        """Each class's share of all labelled pixels, in float64; 0 where nothing is labelled."""
        total = self.pixels.sum(0).double()
        return total / total.sum().clamp_min(1)

    @property
    def absent(self) -> list[str]:
        """The classes that no pixel of any picture shows."""
        shown = self.pixels.sum(0) > 0
        return [name for name, is_shown in zip(self.names, shown.tolist(), strict=True) if not is_shown]


def class_statistics(
    dataset: Dataset, *, cache: Path | None = None, workers: int | None = None
) -> ClassStatistics:
    """Count the pixels of each class in every label, in the data set's order, or read a count that still holds.

    Every label is read, so a bad one is reported here, with the data set's own error, rather than in the middle
    of a run.

    Args:
        cache: Where the count is kept as JSON; an older one is replaced once the data set's fingerprint has changed.
            That of a large data set is also kept for other runs, see :mod:`segue.data.checked`.
        workers: Threads that read labels; None for one per processor.
    """
    fingerprint = dataset.fingerprint()
    own = None if cache is None else _read(cache, dataset, fingerprint)
    if own is not None:
        return own
    # A run keeps its own count; that of a large data set is kept for other runs, too.
    common = cache_folder() / "counted" / f"{fingerprint}.json" if len(dataset) >= REMEMBERED else None
    before = None if common is None else _read(common, dataset, fingerprint)
    counted = before or _counted(dataset, workers)
    if cache is not None:
        _write(cache, dataset, fingerprint, counted)
    if common is not None and before is None:
        with suppress(OSError):
            _write(common, dataset, fingerprint, counted)
    return counted


def _counted(dataset: Dataset, workers: int | None) -> ClassStatistics:
    every: list[Tensor] = []
    with counting("counting classes of the source's labels", len(dataset)) as done:
        for counts in _counts(dataset, workers or os.cpu_count() or 1):
            every.append(counts)
            done(counts)
    counts = torch.stack(every)
    size = len(dataset.classes)
    return ClassStatistics(dataset.classes.names, counts[:, :size].contiguous(), counts.sum(1))


def _counts(dataset: Dataset, workers: int) -> Iterator[Int64[Tensor, " 256"]]:
    def count(index: int) -> Tensor:
        label = dataset.label(index)
        counts = torch.bincount(label.flatten(), minlength=IGNORE + 1)
        beyond = counts[len(dataset.classes) : IGNORE].nonzero().flatten() + len(dataset.classes)
        if len(beyond):
            raise ValueError(
                f"{dataset.name(index)}: label values {beyond.tolist()} are outside the"
                f" {len(dataset.classes)} training classes"
            )
        return counts

    # Decoding and counting release the interpreter's lock, so threads suffice; they also avoid pickling the data set.
    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(count, range(len(dataset)))
    finally:
        pool.shutdown(cancel_futures=True)


def _read(cache: Path, dataset: Dataset, fingerprint: str) -> ClassStatistics | None:
    """An earlier count, if there is an undamaged one of these very files and classes."""
    try:
        kept = json.loads(cache.read_text(encoding="utf-8"))
        if (kept["version"], kept["fingerprint"]) != (VERSION, fingerprint):
            return None
        pixels = torch.tensor(kept["pixels"], dtype=torch.int64)
        sizes = torch.tensor(kept["sizes"], dtype=torch.int64)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if pixels.shape != (len(dataset), len(dataset.classes)) or sizes.shape != (len(dataset),):
        return None
    return ClassStatistics(dataset.classes.names, pixels, sizes)


def _write(cache: Path, dataset: Dataset, fingerprint: str, counted: ClassStatistics) -> None:
    content = {
        "version": VERSION,
        "fingerprint": fingerprint,
        "classes": list(counted.names),
        "names": [dataset.name(index) for index in range(len(dataset))],
        "sizes": counted.sizes.tolist(),
        "pixels": counted.pixels.tolist(),
    }
    write_text(cache, json.dumps(content))


def dataset_prior(
    dataset: Dataset, *, side: float, rows: int = PRIOR_ROWS, workers: int | None = None
) -> Float[Tensor, "k rows columns"]:
    """Where each class is to be expected, from all labels of a data set; see :func:`segue.ops.prior.spatial_prior`.

    The first label's sides decide how wide the grid is, so that cells are square.

    Args:
        side: Side of the Gaussian kernel, as a share of the height.
        rows: The grid's rows, no more than the first label has.
        workers: Threads that read labels; None for one per processor.
    """
    height, width = dataset.label(0).shape
    rows = min(rows, height)
    grid = (rows, max(1, round(rows * width / height)))
    size = len(dataset.classes)

    def count(indices: range) -> Tensor:
        total = torch.zeros(size, *grid, dtype=torch.int64)
        for index in indices:
            total += count_cells(dataset.label(index), grid, size)
        return total

    threads = workers or os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:  # decoding and counting release the interpreter's lock
        parts = pool.map(count, (range(start, len(dataset), threads) for start in range(threads)))
        return spatial_prior(torch.stack(list(parts)).sum(0), side * rows)
