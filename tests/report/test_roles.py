"""Every run gets one part, a name of its own and a colour of its own."""

import re

import pytest

from segue.report.roles import assign_roles, judged_run
from segue.report.run_folder import RunFolder


def test_an_oracle_is_never_the_judged_run(make_run) -> None:
    folders = [make_run(name) for name in ("source_only", "daformer", "upper_end")]
    (folders[2] / "experiment.yaml").write_text("recipe: target_supervised\nreads_target_labels: true\n")
    runs = assign_roles([RunFolder(folder) for folder in folders])
    assert [run.role for run in runs] == ["baseline", "judged", "oracle"]


def test_a_single_run_is_judged_even_if_it_is_an_oracle(make_run) -> None:
    assert judged_run(assign_roles([RunFolder(make_run("oracle"))])).name == "oracle"


def test_names_must_fit_the_runs(make_run) -> None:
    run = RunFolder(make_run("daformer"))
    with pytest.raises(ValueError, match="2 names"):
        assign_roles([run], ["one", "two"])
    with pytest.raises(ValueError, match="at least one"):
        assign_roles([])


def test_runs_of_one_name_are_told_apart_by_their_parents(make_run) -> None:
    runs = assign_roles([RunFolder(make_run("seed0/run")), RunFolder(make_run("seed1/run"))])
    assert [run.name for run in runs] == ["seed0/run", "seed1/run"]


def test_any_number_of_runs_have_colours_that_differ(make_run) -> None:
    """Of fifteen runs no two hues are nearer than ten degrees; the judged run's and the oracle's stay free."""
    folder = RunFolder(make_run("run"))
    runs = assign_roles([folder] * 15, [f"run {i}" for i in range(14)] + ["oracle"])
    hues = [float(found[1]) for run in runs if (found := re.match(r"oklch\(.* ([\d.]+)\)", run.colour))]
    assert len(hues) == 12 and len({run.colour for run in runs}) == 15
    taken = sorted([*hues, 186.0, 72.0])
    assert (
        min(after - before for before, after in zip(taken, [*taken[1:], taken[0] + 360], strict=True)) >= 10
    )
