"""A study shares the cores among its runs, which save what they have when it is stopped; what cannot be carried out is
refused before anything is trained."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.processes import POSIX
from typer.testing import CliRunner

from segue.cli.main import app
from segue.study import runs

ROOT = Path(__file__).resolve().parents[2]

ENDLESS = """
import sys
from pathlib import Path
from rich.console import Console
from segue.recipes.catalogue import experiment
from segue.study import runs
from tests.tiny import TINY

wanted = experiment("source_only", TINY, {"steps": 10**6, "run": {"save_every": 10**6, "log_every": 1}})
runs.run(runs.plan_jobs({"a": [wanted]}, Path(sys.argv[1])), workers=1, console=Console(), cpu=True)
"""


@pytest.mark.parametrize(("allowed", "expected"), [(1, 1), (64, 2)])
def test_a_run_has_no_more_threads_than_the_user_allows(
    allowed: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[set[int]] = []
    monkeypatch.setattr("torch.get_num_threads", lambda: allowed)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: taken.append(set(cores)), raising=False)
    assert runs._settle(1, 2, cpu=True) == expected and taken == [{1, 3}]


@POSIX
@pytest.mark.slow
@pytest.mark.parametrize(
    "stop",
    [
        lambda study: os.killpg(study, signal.SIGINT),
        lambda study: os.kill(study, signal.SIGTERM),
        lambda study: os.kill(study, signal.SIGKILL),
    ],
    ids=["Ctrl-C", "SIGTERM", "SIGKILL"],
)
def test_what_is_trained_is_saved_when_the_study_is_stopped(
    stop: Callable[[int], None], tmp_path: Path
) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
    study = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(tmp_path)],
        env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    run = tmp_path / "a" / "seed0"
    _wait_for(lambda: (run / "metrics.jsonl").is_file() and len((run / "metrics.jsonl").read_text()) > 0)
    stop(study.pid)
    assert study.wait(60) != 0
    _wait_for(lambda: any((run / "checkpoints").glob("*/*")))
    _wait_for(lambda: not (run / ".lock").exists())


def _wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not what():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            "[{label: a, recipe: source_only}, {label: b, recipe: source_only, changes: {optim: {lr: fast}}}]",
            "row 'b'",
        ),
        ("[{label: a, recipe: source_only, needs: {network.start: a}}]", "rows need one another: a -> a"),
        (
            "[{label: '日本', recipe: source_only}, {label: a, recipe: source_only}]",
            "letters a to z or digits",
        ),
        ("[{label: a, label: b, recipe: source_only}]", "'label' is written twice"),
    ],
)
def test_it_is_refused_before_anything_is_trained(rows: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(f"question: Which?\nbaseline: a\nrows: {rows}\n", encoding="utf-8")
    found = CliRunner().invoke(
        app, ["study", str(file), "--only", "a", "--out", str(tmp_path / "out"), "--cpu"]
    )
    said = str(found.exception)
    assert found.exit_code != 0 and words in said and not (tmp_path / "out").exists(), said
