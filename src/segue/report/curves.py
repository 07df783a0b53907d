"""Curves over training as inline SVG whose colours are the page's own, so that they follow light and dark."""

import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from segue.report.lineup import SLOTS, Entry
from segue.report.wording import significant

RUN = [f"#fe01{slot:02x}" for slot in range(SLOTS)]
INK, RULE = "#fe0200", "#fe0201"
THEME = {colour: f"var(--run-{slot})" for slot, colour in enumerate(RUN)} | {
    INK: "var(--soft)", RULE: "var(--rule)",
}  # fmt: skip
"""Placeholders that nothing else would use, and what the page's style sheet puts in their place."""

DRAWN = 500
"""A curve is drawn with at most about this many points."""

STEADY = 12
"""Shorter logs are drawn as they are; longer ones are smoothed over about a twentieth of their length."""


@dataclass(frozen=True)
class Series:
    """One run's logged numbers: NaN where a value was not finite."""

    entry: Entry
    steps: list[float]
    values: list[float]


@dataclass(frozen=True)
class Chart:
    """One quantity over training.

    Attributes:
        title: The quantity's name, as a person would write it.
        svg: The drawing, for inline use.
        description: What a reader without the drawing should know.
    """

    title: str
    svg: Markup
    description: str


def draw_curves(entries: Sequence[Entry]) -> dict[str, list[Chart]]:
    """Draw every logged quantity once, all runs together.

    Args:
        entries: The runs.

    Returns:
        Charts by kind: "losses" (the sum first), "schedule" and "measures".
    """
    names = dict.fromkeys(key for entry in entries for row in entry.folder.metrics for key in row)
    kinds: dict[str, list[Chart]] = {"losses": [], "schedule": [], "measures": []}
    for number, name in enumerate(sorted(names, key=lambda name: (name != "loss", name))):
        if name == "step":
            continue
        kind = "losses" if name == "loss" or "/" in name else "schedule" if name == "lr" else "measures"
        series = [found for entry in entries if (found := _series(entry, name)).steps]
        kinds[kind].append(_chart(name, series, f"chart{number}"))
    return kinds


def draw_chart(series: Sequence[Series], prefix: str, *, is_noisy: bool = True) -> Markup:
    """Draw some curves on one pair of axes: the raw values faint, a centred moving average on top.

    Args:
        series: The curves.
        prefix: Set before every id, so that several drawings can share a page.
        is_noisy: False for what follows a rule, which is drawn as it is.

    Returns:
        An svg element without outside references.
    """
    written = io.StringIO()
    # A user's own matplotlib settings must not change the page.
    with style.context(["default", {"svg.fonttype": "none", "svg.hashsalt": prefix}]):
        figure = Figure(figsize=(4.2, 2.3))
        _draw(figure, series, is_noisy=is_noisy)
        figure.savefig(written, format="svg", transparent=True)
    return _inline(written.getvalue(), prefix)


def smoothed(values: np.ndarray) -> np.ndarray:
    """A centred moving average over finite values, cut off at both ends; short logs come back as they are."""
    if len(values) < STEADY:
        return values
    half = max(1, len(values) // 40)
    finite = np.isfinite(values)
    total = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    number = np.concatenate([[0], np.cumsum(finite)])
    first = np.maximum(np.arange(len(values)) - half, 0)
    last = np.minimum(np.arange(len(values)) + half + 1, len(values))
    counted = number[last] - number[first]
    mean = (total[last] - total[first]) / np.maximum(counted, 1)
    return np.where(finite, mean, np.nan)


def _chart(name: str, series: Sequence[Series], prefix: str) -> Chart:
    title = {"loss": "sum of all losses", "lr": "learning rate"}.get(
        name, name.replace("/", " / ").replace("_", " ")
    )
    return Chart(title, draw_chart(series, prefix, is_noisy=name != "lr"), _describe(title, series))


def _series(entry: Entry, name: str) -> Series:
    rows = [row for row in entry.folder.metrics if name in row]
    return Series(entry, [row["step"] for row in rows], [row[name] for row in rows])


def _describe(name: str, series: Iterable[Series]) -> str:
    said: list[str] = []
    for curve in series:
        finite = [value for value in curve.values if math.isfinite(value)]
        ends = f"from {significant(finite[0])} to {significant(finite[-1])}" if finite else "never finite"
        said.append(f"{curve.entry.name} {ends}")
    return f"{name} over training steps: {'; '.join(said)}"


def _draw(figure: Figure, series: Sequence[Series], *, is_noisy: bool) -> None:
    axes = figure.add_axes((0.125, 0.14, 0.855, 0.79))
    for curve in sorted(series, key=lambda curve: curve.entry.role == "judged"):
        colour = RUN[curve.entry.slot]
        steps, raw = np.asarray(curve.steps), np.asarray(curve.values)
        stride = math.ceil(len(steps) / DRAWN)
        smooth = smoothed(raw) if is_noisy else raw
        if smooth is not raw:
            axes.plot(steps[::stride], raw[::stride], color=colour, alpha=0.28, linewidth=0.8)
        marker = "o" if len(steps) == 1 else None
        axes.plot(steps[::stride], smooth[::stride], color=colour, linewidth=1.7, marker=marker)
    _plain_axes(axes)
    finite = [value for curve in series for value in curve.values if math.isfinite(value)]
    if finite and min(finite) >= 0:
        axes.set_ylim(0, 1.06 * max(finite) or 1)


def _plain_axes(axes: Axes) -> None:
    axes.margins(x=0.01, y=0.08)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=9, length=0, pad=5)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(RULE)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    formatter = ScalarFormatter(useMathText=False)
    formatter.set_powerlimits((-3, 4))
    axes.yaxis.set_major_formatter(formatter)
    axes.yaxis.get_offset_text().set(color=INK, fontsize=9)


def _inline(svg: str, prefix: str) -> Markup:
    """Only the svg element: unique ids, the theme's colours, the page's font, the layout's size."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*pt" height="[^"]*pt"', r"\1", svg, count=1)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    svg = re.sub(r" font-family: [^;\"]*;", "", svg)
    svg = re.sub(r"(\d\.\d{2})\d+", r"\1", re.sub(r"\s*\n\s*", " ", svg))
    for placeholder, themed in THEME.items():
        svg = svg.replace(placeholder, themed)
    return Markup(svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1).strip())
