"""The page: everything about one or more runs in a single HTML file that asks the network for nothing."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from segue.files import write_text
from segue.report import wording
from segue.report.compare import cautions, class_table, judge, settings, widest
from segue.report.curves import draw_curves
from segue.report.facts import configuration, protocols, run_facts, subtitle
from segue.report.gallery import hang, sheets
from segue.report.gap import find_gap
from segue.report.lineup import Entry, line_up
from segue.report.run_folder import RunFolder


def write_report(
    out: Path,
    runs: Sequence[RunFolder | Path],
    *,
    title: str,
    names: Sequence[str] | None = None,
    summary: Mapping[str, Any] | None = None,
) -> Path:
    """Write one self-contained HTML file about one or more runs.

    The first run is what the others are compared with. The last run that did not train on target labels (an
    oracle did, by its configuration or its name) is the one that is judged. Same folders, same bytes: there
    is no date on the page. Errors are those of :class:`RunFolder` and :func:`line_up`, and OSError if it
    cannot be written.

    Args:
        out: The file to write; folders above it are made.
        runs: Run folders, or where they are.
        title: The page's heading.
        names: What to call the runs; their folders' names by default.
        summary: What the demo measured, for drawing the gap: "source_only", "adapted", "oracle" (mean IoU in
            [0, 1]) and "seconds".

    Returns:
        The file written.
    """
    folders = [run if isinstance(run, RunFolder) else RunFolder(run) for run in runs]
    write_text(out, render(line_up(folders, names), title=title, summary=summary))
    return out


def render(entries: Sequence[Entry], *, title: str, summary: Mapping[str, Any] | None = None) -> str:
    """The page as text."""
    return rendered("page.html.j2", title=title, **_content(entries, summary))


def rendered(template: str, *, title: str, **content: Any) -> str:
    """A page of ours as text: its template with the style, the script and the filters that all pages have.

    Args:
        template: Its name in the template folder.
        title: The page's heading.
        content: What the template shows.
    """
    environment = Environment(
        loader=PackageLoader("segue.report", "template"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=wording.percent, points=wording.points, duration=wording.duration, count=wording.count,
        listed=wording.listed,
    )  # fmt: skip
    style, script, mark = (_asset(environment, name) for name in ("style.css", "script.js", "mark.svg"))
    return environment.get_template(template).render(
        title=title,
        style=style,
        script=script,
        script_hash=_base64(hashlib.sha256(script.encode()).digest()),
        icon=_base64(mark.encode()),
        mark=mark,
        **content,
    )


def _content(entries: Sequence[Entry], summary: Mapping[str, Any] | None) -> dict[str, Any]:
    classes = class_table(entries)
    return {
        "entries": entries,
        "subtitle": subtitle(entries),
        "seconds": wording.duration(seconds) if (seconds := (summary or {}).get("seconds")) else "",
        "verdict": judge(entries),
        "cautions": cautions(entries),
        "gap": find_gap(entries, summary),
        "protocols": protocols(entries),
        "classes": classes,
        "widest": widest(classes),
        "palette": next((entry.folder.palette for entry in entries if entry.folder.palette), {}),
        "gallery": hang(entries),
        "sheets": [(entry, drawn) for entry in entries if (drawn := sheets(entry))],
        "curves": draw_curves(entries),
        "facts": run_facts(entries),
        "settings": settings(entries),
        "configurations": [(entry, text) for entry in entries if (text := configuration(entry.folder))],
    }


def _asset(environment: Environment, name: str) -> Markup:
    """A file of ours that goes into the page as it is."""
    if environment.loader is None:
        raise ValueError("the page's templates are not installed: reinstall segue-uda")
    return Markup(environment.loader.get_source(environment, name)[0].strip())


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
