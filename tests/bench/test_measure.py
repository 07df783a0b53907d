"""Benchmarks take turns, leave warm-up out, and divide ours by the peer's."""

import time

from segue.bench.measure import median_ms, row


def test_functions_take_turns():
    calls = []
    median_ms({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=2, warm_up=1)
    assert "".join(calls) == "baabba"


def test_median_leaves_warm_up_out():
    pauses = iter([0.05, 0.001, 0.002, 0.05])
    times = median_ms({"sleep": lambda: time.sleep(next(pauses))}, repeats=3, warm_up=1)
    assert 1.5 < times["sleep"] < 20


def test_ratio():
    line = row("x", 3.0, unit="ms", peer="them", peer_value=4.0)
    assert line["ratio"] == 0.75
    assert set(line) == {"name", "value", "unit", "peer", "peer_value", "ratio"}
