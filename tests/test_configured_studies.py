"""Every study in `configs/` can be run: on the pair that its command names, each row's settings are an experiment."""

import re
from pathlib import Path

import pytest

from segue.recipes.study import read
from segue.study.variants import Bed

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "configs").glob("*_study.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_row_has_settings(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    command = re.search(r"segue study (\S+) --pair (\S+)", path.read_text(encoding="utf-8"))
    assert command is not None and command[1] == f"configs/{path.name}"
    study, bed = read(path), Bed(command[2], tmp_path)
    assert study.rows and all(bed.experiment(row, 0).steps > 0 for row in study.rows.values())


def test_there_are_studies() -> None:
    assert FILES
