"""Curves show what was logged, of short and broken logs too, in the runs' colours."""

import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest

from segue.report.curves import Chart, Curve, draw_curves, lay_out, smoothed, ticks
from segue.report.render import render_page
from segue.report.roles import assign_roles
from segue.report.run_folder import RunFolder

LEFT, RIGHT, TOP, BOTTOM = Chart.LEFT, Chart.RIGHT, Chart.TOP, Chart.BOTTOM


def chart_of(values: list[float], *, steps: list[float] | None = None) -> Chart:
    drawn = np.array(values)
    return lay_out(
        "t", [Curve("red", np.array(steps or range(len(values)), float), drawn, smoothed(drawn))], "d"
    )


def test_smoothing_keeps_constants_and_straight_lines_inside() -> None:
    line = np.arange(200.0)
    assert np.allclose(smoothed(np.full(200, 3.0)), 3.0)
    assert np.allclose(smoothed(line)[10:-10], line[10:-10])


def test_smoothing_calms_noise_and_leaves_gaps() -> None:
    noise = np.random.default_rng(0).normal(size=400)
    noise[50] = math.nan
    calm = smoothed(noise)
    assert np.nanstd(calm) < 0.5 * np.nanstd(noise)
    assert np.flatnonzero(np.isnan(calm)).tolist() == [50]


def test_curves_are_grouped_and_described(make_run) -> None:
    kinds = draw_curves(assign_roles([RunFolder(make_run("daformer"))]))
    assert [chart.title for chart in kinds["losses"]] == [
        "sum of all losses", "source / segmentation", "target / segmentation",
    ]  # fmt: skip
    assert [chart.title for chart in kinds["schedule"]] == ["learning rate"]
    assert [chart.title for chart in kinds["measures"]] == ["quality"]
    assert re.search(r"daformer from 1\.\S+ to 0\.\d+", kinds["losses"][1].description)


def test_the_judged_run_is_drawn_last_and_its_learning_rate_is_not_smoothed(make_run) -> None:
    runs = assign_roles([RunFolder(make_run(name)) for name in ("source_only", "daformer", "oracle")])
    kinds = draw_curves(runs)
    assert [line.colour for line in kinds["losses"][0].lines] == [runs[i].colour for i in (0, 2, 1)]
    assert all(line.faint for line in kinds["losses"][0].lines)
    assert not any(line.faint for line in kinds["schedule"][0].lines)


@pytest.mark.parametrize("length", [11, 12])
def test_dots_show_logged_values_never_smoothed_ones(length: int) -> None:
    """Curves are smoothed from twelve values on, and dotted below."""
    (line,) = chart_of([float(i % 2) for i in range(length)]).lines
    assert bool(line.dots) == (length < 12) == (not line.faint)


def test_the_first_and_the_last_value_lie_on_the_edges_of_the_plot() -> None:
    (line,) = chart_of([math.sin(i) + 2 for i in range(5000)]).lines
    xs = [float(x) for x in re.findall(r"[ML](\S+) ", line.strong)]
    assert (xs[0], xs[-1]) == (LEFT, RIGHT) and len(xs) <= 500 and xs == sorted(xs)


def test_one_value_is_a_dot_with_its_step_and_no_line_is_invented() -> None:
    chart = chart_of([2.0], steps=[700])
    (line,) = chart.lines
    ((x, y),) = line.dots
    assert chart.x_ticks == [(x, "700")] and LEFT < x < RIGHT and TOP < y < BOTTOM
    assert "L" not in line.strong


def test_two_values_are_two_dots_on_the_labelled_steps() -> None:
    chart = chart_of([2.0, 1.0], steps=[0, 50])
    (line,) = chart.lines
    assert [x for x, _ in line.dots] == [LEFT, RIGHT] and line.dots[0][1] < line.dots[1][1]
    assert chart.x_ticks[0] == (LEFT, "0") and chart.x_ticks[-1] == (RIGHT, "50")
    assert not line.faint and line.strong.count("L") == 1


def test_gaps_stay_open_and_a_value_between_two_gaps_is_seen() -> None:
    (line,) = chart_of([*[1.0] * 20, math.nan, 2.0, math.nan, *[1.0] * 20]).lines
    assert line.strong.count("M") == line.faint.count("M") == 3 and line.strong.count("L") == 38
    assert len(line.dots) == 1


@pytest.mark.parametrize(
    "values",
    [
        [math.nan, math.nan], [-1.0, math.nan, 2.0], [0.0] * 2000, [-3.0], [-1e-45, 0.0], [1e-45], [1e38, -1e38],
        [-1.0, -1.0000001],
    ],
)  # fmt: skip
def test_odd_values_stay_inside_the_plot(values: list[float]) -> None:
    chart = chart_of(values)
    places = re.findall(r"[ML](\S+) ([^ML]+)", chart.lines[0].strong)
    assert all(LEFT <= float(x) <= RIGHT and TOP <= float(y) <= BOTTOM for x, y in places)
    assert bool(places) == any(math.isfinite(value) for value in values)
    labels = [label for _, label in chart.y_ticks]
    assert labels and len(set(labels)) == len(labels)


def test_what_no_float32_holds_does_not_set_the_scale(make_run) -> None:
    folder = make_run("damaged")
    rows = [{"step": step, "loss": loss} for step, loss in ((0, 2.0), (10, 1e300), (20, 5e-324))]
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (chart,) = draw_curves(assign_roles([RunFolder(folder)]))["losses"]
    assert [label for _, label in chart.y_ticks] == ["0", "0.5", "1", "1.5", "2"]
    assert chart.lines[0].strong.count("M") == 2


@pytest.mark.parametrize(
    ("low", "high", "whole", "expected"),
    [
        (0, 299, True, [0, 50, 100, 150, 200, 250]),
        (0, 1, True, [0, 1]),
        (700, 700, True, [700]),
        (0, 0.6, False, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
        (-1, 2, False, [-1, -0.5, 0, 0.5, 1, 1.5, 2]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, whole: bool, expected: list[float]) -> None:
    assert ticks(low, high, 6, whole=whole) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("largest", "labels"),
    [
        (5.9e-5, ["0", "2e\N{MINUS SIGN}5", "4e\N{MINUS SIGN}5", "6e\N{MINUS SIGN}5"]),
        (2e6, ["0", "5e5", "1e6"]),
    ],
)
def test_small_and_large_values_have_short_labels(largest: float, labels: list[str]) -> None:
    assert [label for _, label in chart_of([0.0, largest]).y_ticks][: len(labels)] == labels


def test_the_drawing_carries_the_colours_and_escapes_names() -> None:
    chart = lay_out("<b>", [Curve("var(--judged)", np.array([0.0]), np.array([1.0]), np.array([1.0]))], '"d"')
    svg = render_page("chart.html.j2", title="", chart=chart)
    assert "--c:var(--judged)" in svg and "&lt;b&gt;" in svg and "http" not in svg and "id=" not in svg


def test_reports_bring_in_neither_matplotlib_nor_torch() -> None:
    """In a process of its own: other tests have imported both."""
    program = "import sys, segue.report.page; sys.exit(bool({'matplotlib', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
