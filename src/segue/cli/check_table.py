"""What a check found, on a terminal or in plain lines."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}

LISTED = 3
"""At most so many files are named below a finding; the report and the JSON file have more."""


def print_check(console: Console, account: Mapping[str, Any]) -> None:
    """Domains, classes, findings, and in the last line how many of each there are."""
    roles = list(account["domains"])
    rows = [_domain(role, domain) for role, domain in account["domains"].items()]
    _print(console, ["domain", "pictures", "labels", "width x height", "kinds"], rows)
    shares = [[one["name"], *(_percent(one["shares"][role]) for role in roles)] for one in account["classes"]]
    _print(console, ["share of pixels, %", *roles], shares)
    for finding in account["findings"]:
        _print_finding(console, finding)
    counts = account["counts"]
    said = ", ".join(f"{number} {kind}{'s' * (number != 1)}" for kind, number in counts.items())
    style = next((STYLES[kind] for kind, number in counts.items() if number and kind != "note"), "bold green")
    console.print(said, style=style, highlight=False)


def _domain(role: str, domain: Mapping[str, Any]) -> list[str]:
    sizes = [f"{columns}x{rows}" for rows, columns, _ in domain["sizes"][:1]]
    further = domain["different_sizes"] - 1
    labels = "-" if domain["labels"] is None else str(domain["labels"])
    others = [f"and {further} more"] if further > 0 else []
    return [role, str(domain["pictures"]), labels, " ".join(sizes + others), ", ".join(domain["formats"])]


def _print(console: Console, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns, the same on a terminal and in a pipe."""
    widths = [max(len(row[place]) for row in (headings, *rows)) for place in range(len(headings))]
    for row in (headings, *rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        style = "bold" if row is headings else ""
        console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)
    console.print()


def _print_finding(console: Console, finding: Mapping[str, Any]) -> None:
    severity = Text(f"{finding['severity']:8}", style=STYLES[finding["severity"]])
    console.print(severity + Text(f"{finding['domain']}: {finding['text']}", style=""), soft_wrap=True)
    if len(finding["files"]) > 1:
        named = [together[-1] for together in finding["files"][:LISTED]]
        more = len(finding["files"]) - len(named)
        for name in [*named, *([f"and {more} more"] if more else [])]:
            console.print(f"          {name}", highlight=False, markup=False, soft_wrap=True, style="dim")
    for line in finding["remedy"].splitlines():
        console.print(f"    {line}", highlight=False, markup=False, soft_wrap=True)


def _percent(share: float | None) -> str:
    return "n/a" if share is None else f"{100 * share:.2f}"
