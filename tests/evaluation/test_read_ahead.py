"""Items come in order, one ahead, and an error comes in its turn."""

import threading

import pytest

from segue.evaluation.read_ahead import read_ahead


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_everything_is_read_once_and_in_order(count: int) -> None:
    assert list(read_ahead(lambda item: item * item, range(count))) == [(i, i * i) for i in range(count)]


def test_the_next_item_is_read_while_one_is_worked_on() -> None:
    second_is_read = threading.Event()
    asked = []

    def read(item: int) -> int:
        asked.append(item)
        if item == 1:
            second_is_read.set()
        return item

    items = read_ahead(read, range(3))
    next(items)
    assert second_is_read.wait(timeout=120)
    assert 2 not in asked
    assert [item for item, _ in items] == [1, 2]


def test_errors_wait_for_their_turn() -> None:
    def read(item: int) -> int:
        if item == 1:
            raise OSError("broken file")
        return item

    items = read_ahead(read, range(3))
    assert next(items) == (0, 0)
    with pytest.raises(OSError, match="broken file"):
        next(items)
