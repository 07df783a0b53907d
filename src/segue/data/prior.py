"""The spatial prior of a labelled data set."""

import os
from concurrent.futures import ThreadPoolExecutor

import torch
from jaxtyping import Float
from torch import Tensor

from segue.data.dataset import Dataset
from segue.ops.prior import count_cells, spatial_prior

ROWS = 128
"""Of the grid that pixels are counted on: eight pixels of GTA5 are one cell, the smoothing is nine cells wide."""


def dataset_prior(
    dataset: Dataset, *, side: float, rows: int = ROWS, workers: int | None = None
) -> Float[Tensor, "k rows columns"]:
    """Where each class is to be expected, from all labels of a data set; see :func:`segue.ops.prior.spatial_prior`.

    Args:
        dataset: A labelled data set. Its first label's sides say how wide the grid is, so that cells are square.
        side: Of the Gaussian kernel, as a share of the height.
        rows: Of the grid, at most; no more than the first label has.
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
    with ThreadPoolExecutor(threads) as pool:  # decoding and counting leave the interpreter
        parts = pool.map(count, (range(start, len(dataset), threads) for start in range(threads)))
        return spatial_prior(torch.stack(list(parts)).sum(0), side * rows)
