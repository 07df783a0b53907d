"""Benchmarks take turns, leave warm-up out, and divide ours by the peer's."""

import time

import pytest

from segue.bench.measure import benchmark, compared
from segue.clock import in_turns, median_ms


def test_functions_take_turns():
    calls = []
    median_ms({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=2, warm_up=1)
    assert "".join(calls) == "baabba"


def test_median_leaves_warm_up_out():
    pauses = iter([0.05, 0.001, 0.002, 0.05])
    times = median_ms({"sleep": lambda: time.sleep(next(pauses))}, repeats=3, warm_up=1)
    assert 1.5 < times["sleep"] < 20


def test_ratio():
    line = benchmark("x", 3.0, unit="ms", peer="them", peer_value=4.0)
    assert line["ratio"] == 0.75
    assert set(line) == {"name", "value", "unit", "peer", "peer_value", "ratio"}


def test_results_are_kept_turn_by_turn():
    numbers = {"a": iter(range(10)), "b": iter(range(10))}
    runs = {name: lambda values=values: next(values) for name, values in numbers.items()}
    assert in_turns(runs, repeats=2, warm_up=1) == {"a": [1, 2], "b": [1, 2]}


def test_spread_is_that_of_the_turns():
    line = compared("x", [2.0, 3.0, 40.0], [4.0, 4.0, 40.0], unit="ms", peer="them")
    assert (line["value"], line["peer_value"], line["ratio"]) == (3.0, 4.0, 0.75)
    assert line["spread"] == pytest.approx([0.5, 1.0])
