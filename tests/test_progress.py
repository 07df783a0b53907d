"""Whatever takes time says how far it is within a second, on terminals and in pipes; nothing where nobody asked."""

import io
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from segue import progress
from segue.engine.log import RunLog
from segue.engine.stages import train
from segue.progress import counting, duration, showing
from tests.tiny import tiny


def until(true: Callable[[], bool]) -> None:
    """Wait for something that takes a moment, or minutes on a busy machine."""
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def pipe() -> Console:
    return Console(file=io.StringIO(), width=200)


def test_a_pipe_hears_of_a_slow_first_item_and_then_now_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FIRST", 0.05)
    console = pipe()
    with showing(console), counting("scoring", 500) as done:
        until(lambda: console.file.getvalue() != "")  # the first item takes long
        assert console.file.getvalue() == "scoring  0/500\n"
        done(0)
        monkeypatch.setattr(progress, "EVERY", 0.0)
        time.sleep(0.1)
        progress_lines = len(console.file.getvalue().splitlines())
        for item in range(3):
            done(item)
    assert progress_lines == 1


def test_lines_follow_one_another_and_say_the_time_left_once_items_tell_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "FIRST", 0.0)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    console = pipe()
    with showing(console), counting("scoring", 5) as done:
        for item in range(5):
            time.sleep(0.01)
            done(item)
    lines = console.file.getvalue().splitlines()
    assert lines[-3] == "scoring  2/5"
    for line, done_now in zip(lines[-2:], (3, 4), strict=True):
        assert re.fullmatch(rf"scoring  {done_now}/5, \d+ s left", line)


def test_what_is_quick_and_what_nobody_shows_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FIRST", 600.0)
    console = pipe()
    with showing(console), counting("scoring", 2) as done:
        done(0)
        done(1)
    with counting("scoring", 2) as done:
        done(0)
    assert console.file.getvalue() == ""


def test_a_terminal_gets_a_bar_and_no_second_one_inside() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with showing(console), counting("outer", 2) as done, counting("inner", 2):
        until(lambda: "outer" in console.file.getvalue())
        done(0)
    assert "outer" in console.file.getvalue() and "inner" not in console.file.getvalue()


@pytest.mark.parametrize(("seconds", "said"), [(40, "40 s"), (800, "13 min"), (12600, "3.5 hours")])
def test_times_are_said_as_one_waits_for_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_training_says_how_long_it_will_take_and_how_to_stop(tmp_path: Path) -> None:
    console = pipe()
    with RunLog(tmp_path, steps=2000, start=100, console=console, title="run") as log:
        for step in range(100, 110):
            log.advance(step)
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "run  101/2000", (
        "the first step is said at once, also of a resumed run between two records"
    )
    assert lines[1].startswith("run  about ") and "1894 steps; Ctrl-C stops it" in lines[1]
    assert len(lines) == 2


def test_checking_counting_and_scoring_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stage of a run that may take minutes says so in a pipe."""
    titles: list[str] = []
    init = progress._Lines.__init__

    def noted(self: progress._Lines, title: str, total: int, console: Console) -> None:
        titles.append(title)
        init(self, title, total, console)

    monkeypatch.setattr(progress._Lines, "__init__", noted)
    train(tiny("daformer", {"steps": 1}), tmp_path, console=pipe(), cpu=True)
    assert "counting classes of the source's labels" in titles
    assert "scoring the student on the target" in titles and "scoring the student on the source" in titles
