"""The benchmark of the loader reads every batch and decodes as many pictures, with and without worker processes."""

import pytest

from segue.bench import loader


@pytest.mark.parametrize("workers", [0, 1])
def test_it_measures_both(workers: int) -> None:
    (row,) = loader.rows(pictures=2, size=(48, 64), crop=32, batch=2, steps=2, workers=workers, repeats=2)
    assert row["name"] == "loader" and row["peer"].endswith(f": {workers}") and row["unit"] == "ms"
    assert row["value"] > 0 and row["peer_value"] > 0
    low, high = row["spread"]  # type: ignore[typeddict-item]
    assert low <= high
