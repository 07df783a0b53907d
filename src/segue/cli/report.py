"""``segue report``: one self-contained HTML page about one or more runs."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Run folders; the first, best a source-only one, is what the others are compared with.",
            metavar="RUN",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The HTML file; by default report.html in the last run folder."),
    ] = None,
    panels: Annotated[
        Path | None,
        typer.Option(
            help="Also draw a figure of pictures and predictions, as papers do: a PNG or JPEG file."
        ),
    ] = None,
    title: Annotated[str | None, typer.Option(help="The page's heading; by default the runs' names.")] = None,
) -> None:
    """Write one HTML page about one or more runs: verdict, classes, pictures, curves, configuration."""
    from segue.report.page import write_report

    names = ", ".join(run.resolve().name for run in runs)
    written = write_report(out or runs[-1] / "report.html", runs, title=title or names)
    typer.echo(f"report written: {written}")
    if panels is not None:
        from segue.report.panels import write_panels

        typer.echo(f"panels written: {write_panels(panels, runs)}")
