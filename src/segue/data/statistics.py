"""How many pixels of each class each labelled picture holds: counted once, kept as JSON."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from segue.data.dataset import Dataset
from segue.types import IGNORE

VERSION = 1


@dataclass(frozen=True)
class ClassStatistics:
    """Class pixels of a labelled data set, picture by picture.

    Attributes:
        names: The training classes, in order.
        pixels: How many pixels of each class each picture holds.
        sizes: How many pixels each picture has, ignored ones included.
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
    """Count the pixels of each class in every label, or read an earlier count that still holds.

    Every label is read, so a bad one is found here, with the data set's own error, rather than in the middle
    of a run.

    Args:
        dataset: A labelled data set.
        cache: Where the count is kept; an older one is replaced once the data set's fingerprint has changed.
        workers: Threads that read labels; None for one per processor.

    Returns:
        One row per picture, in the data set's order.
    """
    kept = _read(cache, dataset) if cache is not None else None
    if kept is not None:
        return kept
    counts = torch.stack(list(_counts(dataset, workers or os.cpu_count() or 1)))
    size = len(dataset.classes)
    counted = ClassStatistics(dataset.classes.names, counts[:, :size].contiguous(), counts.sum(1))
    if cache is not None:
        _write(cache, dataset, counted)
    return counted


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

    # Decoding and counting leave the interpreter, so threads suffice; they also spare pickling the data set.
    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(count, range(len(dataset)))
    finally:
        pool.shutdown(cancel_futures=True)


def _read(cache: Path, dataset: Dataset) -> ClassStatistics | None:
    """An earlier count, if it is there, whole, and of these very files and classes."""
    try:
        kept = json.loads(cache.read_text(encoding="utf-8"))
        if (kept["version"], kept["fingerprint"]) != (VERSION, dataset.fingerprint()):
            return None
        pixels = torch.tensor(kept["pixels"], dtype=torch.int64)
        sizes = torch.tensor(kept["sizes"], dtype=torch.int64)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    if pixels.shape != (len(dataset), len(dataset.classes)) or sizes.shape != (len(dataset),):
        return None
    return ClassStatistics(dataset.classes.names, pixels, sizes)


def _write(cache: Path, dataset: Dataset, counted: ClassStatistics) -> None:
    """Written beside and renamed: another process sees the old file or the new one, never half of one."""
    content = {
        "version": VERSION,
        "fingerprint": dataset.fingerprint(),
        "classes": list(counted.names),
        "names": [dataset.name(index) for index in range(len(dataset))],
        "sizes": counted.sizes.tolist(),
        "pixels": counted.pixels.tolist(),
    }
    cache.parent.mkdir(parents=True, exist_ok=True)
    beside = cache.with_name(f"{cache.name}.{os.getpid()}.part")
    beside.write_text(json.dumps(content), encoding="utf-8")
    beside.replace(cache)
