"""Every quantity that the runs have logged, over the steps of training, laid out as charts."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from segue.report.formatting import MINUS, count, significant
from segue.report.roles import ShownRun

TITLES = {"loss": "sum of all losses", "lr": "learning rate"}

SHORT = 12
"""A curve of fewer values is not smoothed and shows each as a dot, so that its lines are not taken for data."""

DRAWN = 500
"""A longer curve is drawn through about this many of its values, including the first and the last."""


@dataclass(frozen=True)
class Curve:
    """What one run logged of one quantity.

    Attributes:
        values: As logged; not finite where there is a gap.
        smooth: What is drawn strongly; the ``values`` themselves where nothing was smoothed.
    """

    colour: str
    steps: np.ndarray
    values: np.ndarray
    smooth: np.ndarray


@dataclass(frozen=True)
class Line:
    """A curve as it is drawn.

    Attributes:
        faint: The logged values as an SVG path; empty if the strong one already shows them.
        strong: The smoothed values as an SVG path.
        dots: Places of values that are shown as dots.
    """

    colour: str
    faint: str
    strong: str
    dots: list[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """One quantity over training, laid out; ticks are places and labels.

    Attributes:
        lines: The last one is on top.
        description: For a reader who does not see the drawing.
    """

    # The size of the drawing, and the edges of the plot inside it; labels lie outside.
    WIDTH: ClassVar = 300
    HEIGHT: ClassVar = 160
    LEFT: ClassVar = 46
    RIGHT: ClassVar = 296
    TOP: ClassVar = 8
    BOTTOM: ClassVar = 138

    title: str
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    description: str


def draw_curves(runs: Sequence[ShownRun]) -> dict[str, list[Chart]]:
    """One chart for each quantity, all runs together, by kind: "losses" (the sum first), "schedule" and "measures"."""
    names = {name for run in runs for row in run.folder.metrics for name in row} - {"step"}
    kinds: dict[str, list[Chart]] = {"losses": [], "schedule": [], "measures": []}
    for name in sorted(names, key=lambda name: (name != "loss", name)):
        kind = "losses" if name == "loss" or "/" in name else "schedule" if name == "lr" else "measures"
        title = TITLES.get(name, name.replace("/", " / ").replace("_", " "))
        # The judged run is drawn last, on top of the others.
        drawn = sorted(runs, key=lambda run: run.role == "judged")
        curves = [_curve(run, name) for run in drawn if any(name in row for row in run.folder.metrics)]
        kinds[kind].append(lay_out(title, curves, _described(title, runs, name)))
    return kinds


def smoothed(values: np.ndarray) -> np.ndarray:
    """A centred moving average over about a twentieth of the values, cut off at both ends; gaps stay gaps."""
    if len(values) < SHORT:
        return values
    window = np.ones(2 * max(1, len(values) // 40) + 1)
    finite = np.isfinite(values)
    total = np.convolve(np.where(finite, values, 0.0), window, mode="same")
    number = np.convolve(finite, window, mode="same")
    return np.where(finite, total / np.maximum(number, 1), np.nan)


def _curve(run: ShownRun, name: str) -> Curve:
    rows = [row for row in run.folder.metrics if name in row]
    steps, logged = (np.array([row[key] for row in rows]) for key in ("step", name))
    # Numbers beyond float32 were never computed: those of a damaged log must not set the scale.
    with np.errstate(over="ignore"):
        values = logged.astype(np.float32).astype(np.float64)
    # The learning rate follows a rule: smoothing would blunt its corners.
    return Curve(run.colour, steps, values, values if name == "lr" else smoothed(values))


def _described(title: str, runs: Sequence[ShownRun], name: str) -> str:
    said: list[str] = []
    for run in runs:
        logged = [row[name] for row in run.folder.metrics if name in row]
        finite = [value for value in logged if math.isfinite(value)]
        if len(finite) == 1:
            said.append(f"{run.name} {significant(finite[0])}")
        elif finite:
            said.append(f"{run.name} from {significant(finite[0])} to {significant(finite[-1])}")
        elif logged:
            said.append(f"{run.name} never finite")
    return f"{title} over training steps: {'; '.join(said)}"


def lay_out(title: str, curves: Sequence[Curve], description: str) -> Chart:
    """Place curves on common axes: steps to the right, values upwards, from zero unless some are negative."""
    steps = np.concatenate([curve.steps for curve in curves])
    values = np.concatenate([curve.values for curve in curves])
    across, up = (float(steps.min()), float(steps.max())), _height(values[np.isfinite(values)])
    x, y = _scale(across, Chart.LEFT, Chart.RIGHT), _scale(up, Chart.BOTTOM, Chart.TOP)
    y_ticks = ticks(*up, 5)
    return Chart(
        title,
        [_line(curve, x, y) for curve in curves],
        [(x(step), count(step)) for step in ticks(*across, 6, whole=True)],
        [(y(value), _label(value, largest=max(map(abs, y_ticks)))) for value in y_ticks],
        description,
    )


def ticks(low: float, high: float, most: int, *, whole: bool = False) -> list[float]:
    """Round numbers from low to high, whole ones if asked for, with at most so many steps between them."""
    if high <= low:
        return [low]
    rough = (high - low) / most
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 5, 10, 20) if factor * magnitude >= rough)
    step = max(1.0, step) if whole else step
    # A tick that rounding moves just outside still counts.
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    return [number * step for number in range(first, last + 1)]


def _height(values: np.ndarray) -> tuple[float, float]:
    """The axis's ends: a little more than the values need, and from zero, against which losses and rates are judged."""
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    if low >= 0:
        return 0.0, 1.06 * high or 1.0
    # A value that hardly changes is drawn as such, not enlarged until rounding shows.
    margin = 0.06 * (high - low) if high - low > 1e-3 * abs(low) else 0.5 * abs(low)
    return low - margin, high + margin


def _scale(span: tuple[float, float], start: float, end: float) -> Callable[[float], float]:
    low, high = span
    if high <= low:
        return lambda value: (start + end) / 2
    return lambda value: round(start + (value - low) / (high - low) * (end - start), 1)


def _line(curve: Curve, x: Callable[[float], float], y: Callable[[float], float]) -> Line:
    logged = len(curve.steps)
    chosen = np.unique(np.linspace(0, logged - 1, min(DRAWN, logged)).round().astype(int))

    def places(values: np.ndarray) -> list[tuple[float, float] | None]:
        shown = ((float(curve.steps[i]), float(values[i])) for i in chosen)
        return [(x(step), y(value)) if math.isfinite(value) else None for step, value in shown]

    strong = places(curve.smooth)
    around = zip([None, *strong], strong, [*strong[1:], None], strict=False)
    return Line(
        curve.colour,
        "" if curve.smooth is curve.values else _path(places(curve.values)),
        _path(strong),
        # No line shows a value between two gaps.
        [place for before, place, after in around if place and (logged < SHORT or not (before or after))],
    )


def _path(places: Sequence[tuple[float, float] | None]) -> str:
    """An SVG path through all places; None leaves a gap."""
    steps = zip([None, *places], places, strict=False)
    return "".join(
        f"{'L' if before else 'M'}{place[0]:g} {place[1]:g}" for before, place in steps if place is not None
    )


def _label(value: float, *, largest: float) -> str:
    text = f"{value:.6g}"
    if value and not 1e-3 <= largest < 1e5:
        mantissa, _, exponent = f"{value:.5e}".partition("e")
        text = f"{float(mantissa):g}e{int(exponent)}"
    return text.replace("-", MINUS)
