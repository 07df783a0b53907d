"""The geometry of a small line chart: where its ticks, lines and dots lie; a template draws it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from segue.report.formatting import MINUS, count

SHORT = 12
"""A curve of fewer values is not smoothed and shows each as a dot, so that no line is taken for data."""

DRAWN = 500
"""A longer curve is drawn through about this many of its values, the first and the last among them."""


@dataclass(frozen=True)
class Curve:
    """What one run logged of one quantity.

    Attributes:
        colour: A CSS colour.
        steps: In order.
        values: As logged; not finite where there is a gap.
        smooth: What is drawn strongly; the very ``values`` where nothing was smoothed.
    """

    colour: str
    steps: np.ndarray
    values: np.ndarray
    smooth: np.ndarray


@dataclass(frozen=True)
class Line:
    """A curve as it is drawn.

    Attributes:
        colour: A CSS colour.
        faint: The logged values as an SVG path; empty if the strong one already shows them.
        strong: The smoothed values as an SVG path.
        dots: Places of values that are shown singly.
    """

    colour: str
    faint: str
    strong: str
    dots: list[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """One quantity over training, laid out; ticks are places and labels.

    Attributes:
        title: What it is called on the page.
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
    """A little more than the values need; from zero, against which losses and rates are judged."""
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    if low >= 0:
        return 0.0, 1.06 * high or 1.0
    # What hardly changes is drawn as such, not spread until rounding shows.
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
    """Through all places; None lifts the pen."""
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
