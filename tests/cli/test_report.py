"""`segue report` writes the page where it is told to, or into the last run's folder."""

from pathlib import Path

import pytest

from segue.cli.report import report


def test_report_goes_into_the_last_run_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [tmp_path / "source_only", tmp_path / "adapted"]
    for run in runs:
        run.mkdir()
    report(runs)
    page = runs[1] / "report.html"
    assert "<h1>source_only, adapted</h1>" in page.read_text(encoding="utf-8")
    assert str(page) in capsys.readouterr().out


def test_report_goes_where_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    report([tmp_path / "run"], out=tmp_path / "page.html", title="A title")
    assert "<h1>A title</h1>" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_missing_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        report([tmp_path / "nowhere"])
