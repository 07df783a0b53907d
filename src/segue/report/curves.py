"""Every quantity that the runs have logged, over the steps of training."""

import math
from collections.abc import Sequence

import numpy as np

from segue.report.chart import SHORT, Chart, Curve, lay_out
from segue.report.formatting import significant
from segue.report.roles import ShownRun

TITLES = {"loss": "sum of all losses", "lr": "learning rate"}


def draw_curves(runs: Sequence[ShownRun]) -> dict[str, list[Chart]]:
    """One chart for each quantity, all runs together.

    Returns:
        Charts by kind: "losses" (the sum first), "schedule" and "measures".
    """
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
    # What no float32 can hold was never computed: numbers from a damaged log must not set the scale.
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
