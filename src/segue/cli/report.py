"""``segue report``: one self-contained HTML page about one or more runs."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run folders; the first is what the others are compared with.", metavar="RUN..."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The HTML file to write; report.html in the last run folder by default."),
    ] = None,
    title: Annotated[str | None, typer.Option(help="The page's heading; the runs' names by default.")] = None,
) -> None:
    """Write one HTML page about one or more runs: verdict, classes, pictures, curves, configuration.

    The page holds all it shows and needs no network. Give the source-only run first and the adapted one after
    it; a run that was trained on target labels is shown as the upper end of the gap, not judged.
    """
    from segue.report.page import write_report

    names = ", ".join(run.resolve().name for run in runs)
    written = write_report(out or runs[-1] / "report.html", runs, title=title or names)
    typer.echo(f"report written: {written}")
