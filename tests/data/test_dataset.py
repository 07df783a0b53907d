"""Proves the base of data sets: an empty one is refused, and fingerprints keep apart what differs."""

import pytest

from segue.data.dataset import Dataset, digest


def test_a_data_set_states_all_it_must() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Dataset()  # type: ignore[abstract]


def test_check_refuses_an_empty_data_set(grid) -> None:
    grid.check()
    grid.count = 0
    with pytest.raises(ValueError, match="without a picture"):
        grid.check()


def test_digest_keeps_order_and_boundaries() -> None:
    assert digest(["a", "b"]) == digest(iter(["a", "b"]))
    assert len({digest(parts) for parts in (["a", "b"], ["b", "a"], ["ab"], ["a", "b", ""], ["1:a"])}) == 5
