"""Curves take the theme's colours, keep their ids apart, and have gaps where numbers were broken."""

import math
import re
import subprocess
import sys

import numpy as np
import pytest

from segue.report.curves import Series, draw_chart, draw_curves, smoothed
from segue.report.lineup import line_up
from segue.report.run_folder import RunFolder


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


def test_short_logs_are_not_smoothed() -> None:
    values = np.array([3.0, 1.0, 2.0])
    assert smoothed(values) is values


def test_curves_are_grouped_and_described(make_run) -> None:
    kinds = draw_curves(line_up([RunFolder(make_run("daformer"))]))
    assert [chart.title for chart in kinds["losses"]] == [
        "sum of all losses", "source / segmentation", "target / segmentation",
    ]  # fmt: skip
    assert [chart.title for chart in kinds["schedule"]] == ["learning rate"]
    assert [chart.title for chart in kinds["measures"]] == ["quality"]
    assert re.search(r"daformer from 1\.\S+ to 0\.\d+", kinds["losses"][1].description)


def test_two_drawings_share_no_id_and_name_no_address(make_run) -> None:
    entries = line_up([RunFolder(make_run("a")), RunFolder(make_run("b"))])
    drawn = [str(chart.svg) for chart in draw_curves(entries)["losses"]]
    ids = [found for svg in drawn for found in re.findall(r'\bid="([^"]+)"', svg)]
    assert len(ids) == len(set(ids))
    for svg in drawn:
        references = set(re.findall(r'(?:url\(|href=")#([^")]+)', svg))
        assert references and references <= set(ids)
        assert "http" not in svg and "#fe0" not in svg and "<style" not in svg
        assert "var(--run-0)" in svg and "var(--run-1)" in svg


@pytest.mark.parametrize("values", [[1.0], [math.nan, math.nan], [-1.0, math.nan, 2.0], [0.0] * 2000])
def test_odd_series_can_be_drawn(make_run, values: list[float]) -> None:
    (entry,) = line_up([RunFolder(make_run("a"))])
    svg = draw_chart([Series(entry, [float(i) for i in range(len(values))], values)], "odd")
    assert svg.startswith("<svg") and svg.endswith("</svg>")


def test_reports_bring_in_neither_pyplot_nor_torch() -> None:
    """In a process of its own: other tests have imported both."""
    program = (
        "import sys, segue.report.page; sys.exit(bool({'matplotlib.pyplot', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
