"""``segue report``: one self-contained HTML page about one or more runs."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Run folders, best a source-only one first: the others are compared with it.", metavar="RUN"
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The HTML file to write; report.html in the last run folder by default."),
    ] = None,
    panels: Annotated[
        Path | None, typer.Option(help="Also draw panels as papers print them: a PNG or JPEG file.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="The page's heading; the runs' names by default.")] = None,
) -> None:
    """Write one HTML page about one or more runs: verdict, classes, pictures, curves, configuration."""
    from segue.report.page import write_report

    names = ", ".join(run.resolve().name for run in runs)
    written = write_report(out or runs[-1] / "report.html", runs, title=title or names)
    typer.echo(f"report written: {written}")
    if panels is not None:
        from segue.report.panels import write_panels

        typer.echo(f"panels written: {write_panels(panels, runs)}")
