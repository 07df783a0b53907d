"""A run folder is one command's: a second one is told whose, and a lock whose process is gone does not stop a run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.tiny import QUIET, tiny

from segue.engine import run_lock
from segue.engine.run_lock import LOCK, locked
from segue.engine.stages import train


def foreign(folder: Path, **changes: object) -> Path:
    """A lock as another machine's process left it."""
    folder.mkdir(exist_ok=True)
    said = {
        "host": "node7",
        "process": 4711,
        "boot": "b",
        "space": "s",
        "started": "1",
        "token": "t",
        "beat": 3,
    }
    (folder / LOCK).write_text(json.dumps(said | changes))
    return folder / LOCK


def test_a_second_run_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(OSError, match=rf"in use by process {os.getpid()} on .*: wait for it"),
    ):
        train(tiny("source_only", {"steps": 1}), tmp_path, console=QUIET, cpu=True)
    assert not (tmp_path / LOCK).exists()
    with locked(tmp_path):
        said = json.loads((tmp_path / LOCK).read_text())
    assert said["host"] and said["process"] == os.getpid()


def test_a_lock_of_a_killed_process_of_this_machine_is_taken_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import os, sys; from pathlib import Path; from segue.engine.run_lock import locked\n"
        "with locked(Path(sys.argv[1])): (Path(sys.argv[1]) / '.model.x-1-ab.part').touch(); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False).returncode == 9
    assert (tmp_path / LOCK).is_file()
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("the lock was waited for"))
    with locked(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [LOCK], "what was half-written is gone"


def test_the_number_of_a_process_that_was_given_out_again_does_not_hold(tmp_path: Path) -> None:
    foreign(tmp_path, **(run_lock.identity() | {"started": "before"}))
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["token"] != "t"


def test_another_machines_lock_holds_while_its_number_rises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lock, "PULSE", 0.05)
    lock = foreign(tmp_path)
    monkeypatch.setattr(run_lock.time, "sleep", lambda _: foreign(tmp_path, beat=4))
    with pytest.raises(OSError, match="in use by process 4711 on node7"), locked(tmp_path):
        pass
    assert lock.is_file(), "it is the other one's to remove"
    monkeypatch.setattr(run_lock.time, "sleep", lambda _: None)
    with locked(tmp_path):
        assert json.loads(lock.read_text())["process"] == os.getpid(), "a number that stands still"


def test_a_run_whose_folder_was_taken_over_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_lock, "PULSE", 0.05)
    with pytest.raises(KeyboardInterrupt), locked(tmp_path):
        for _ in range(600):  # a beat that was just being written would take the lock back
            foreign(tmp_path)
            time.sleep(0.1)
    assert "was taken over by process 4711 on node7; this run stops" in capsys.readouterr().err
    assert (tmp_path / LOCK).is_file()


def test_a_run_that_ignores_ctrl_c_stops_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So do jobs that a script starts with "&"."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    monkeypatch.setattr(run_lock, "PULSE", 0.05)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN), signal.signal(signal.SIGTERM, end)
    try:
        with pytest.raises(SystemExit), locked(tmp_path):
            for _ in range(600):
                foreign(tmp_path)
                time.sleep(0.1)
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])


def test_a_folder_that_only_the_lock_made_is_not_left(tmp_path: Path) -> None:
    with locked(tmp_path / "run"):
        assert (tmp_path / "run").is_dir()
    assert not (tmp_path / "run").exists()
