"""The page about one or more runs: one HTML file that loads nothing from the network."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from segue.files import write_text
from segue.report.curves import draw_curves
from segue.report.evidence import find_evidence
from segue.report.gallery import choose_pictures, progress_sheets, view_sheets
from segue.report.render import render_page
from segue.report.roles import assign_roles, judged_run
from segue.report.run_folder import RunFolder
from segue.report.tables import (
    class_table,
    differing_settings,
    protocols,
    run_details,
    subtitle,
    widest_change,
)
from segue.report.verdict import cautions, find_gap, judge


def write_report(
    out: Path,
    runs: Sequence[Path],
    *,
    title: str,
    names: Sequence[str] | None = None,
    seconds: float | None = None,
) -> Path:
    """Write one self-contained HTML file about one or more runs, and return its path.

    The others are compared with the first run. The last run that did not train on target labels (an oracle
    did, by its configuration or its name) is the one that is judged. The same folders give the same bytes:
    there is no date on the page.

    Args:
        out: The file to write; missing folders above it are made.
        names: What to call the runs; their folders' names by default.
        seconds: How long everything took, if the page is to say so.

    Raises:
        FileNotFoundError: If a run folder does not exist.
        ValueError: If a file in a run folder is damaged, there is no run, or names and runs differ in number.
        OSError: If the page cannot be written.
    """
    shown = assign_roles([RunFolder(run) for run in runs], names)
    classes, found = class_table(shown), find_evidence(shown)
    page = render_page(
        "page.html.j2",
        title=title,
        runs=shown,
        judged=judged_run(shown),
        subtitle=subtitle(shown),
        seconds=seconds,
        verdict=judge(shown, found and found.verdict),
        cautions=cautions(shown),
        gap=find_gap(shown),
        evidence=found,
        protocols=protocols(shown),
        classes=classes,
        widest=widest_change(classes),
        palette=next((run.folder.palette for run in shown if run.folder.palette), {}),
        gallery=choose_pictures(shown),
        views=[(run, sheets) for run in shown if (sheets := view_sheets(run))],
        progress=[(run, sheets) for run in shown if (sheets := progress_sheets(run))],
        curves=draw_curves(shown),
        details=run_details(shown),
        settings=differing_settings(shown),
        configurations=[
            (run, yaml.safe_dump(run.folder.experiment, sort_keys=False, allow_unicode=True, width=100))
            for run in shown
            if run.folder.experiment
        ],
    )
    write_text(out, page)
    return out
