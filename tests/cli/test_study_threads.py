"""A study's runs share the cores, and take no more threads than OMP_NUM_THREADS allows."""

import os

import pytest

from segue.study import runs


@pytest.mark.parametrize(("allowed", "expected"), [(1, 1), (64, 2)])
def test_a_run_has_no_more_threads_than_the_user_allows(
    allowed: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[set[int]] = []
    monkeypatch.setattr("torch.get_num_threads", lambda: allowed)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: taken.append(set(cores)), raising=False)
    assert runs._settle(1, 2, cpu=True) == expected and taken == [{1, 3}]
