"""The table of classes keeps absent apart from zero, and the details list what is known and what differs."""

from segue.report.roles import assign_roles
from segue.report.run_folder import RunFolder
from segue.report.tables import class_table, differing_settings, protocols, run_details, widest_change


def test_absent_is_not_zero(pair) -> None:
    before, after = {"road": 0.8, "car": 0.4, "train": None}, {"road": 0.9, "car": 0.0, "train": None}
    rows = {row.name: row for row in class_table(pair(before, after))}
    assert rows["train"].ious == [None, None] and rows["train"].changes == [None, None]
    assert rows["car"].ious == [0.4, 0.0] and rows["car"].changes == [None, -0.4]
    assert widest_change(list(rows.values())) == 0.4


def test_settings_list_only_what_differs(make_run) -> None:
    runs = assign_roles([RunFolder(make_run("a", recipe="dacs")), RunFolder(make_run("b", steps=200))])
    assert differing_settings(runs) == {"recipe": ["dacs", "daformer"], "steps": ["300", "200"]}


def test_details_name_what_any_run_knows(make_run) -> None:
    runs = assign_roles([RunFolder(make_run("a")), RunFolder(make_run("b"))])
    (runs[1].folder.path / "experiment.yaml").unlink()
    found = run_details(assign_roles([RunFolder(run.folder.path) for run in runs]))
    assert found["network"] == ["mit_nano + daformer", "n/a"] and found["data"] == ["street_scenes", "n/a"]
    assert found["steps"] == ["300", "at least 290"] and found["speed"] == ["5 steps a second"] * 2


def test_one_protocol_is_shown_once_and_two_by_run(pair) -> None:
    ious = {"road": 0.8}
    ((name, shown),) = protocols(pair(ious, ious))
    assert name == "" and shown["network"] == "student" and shown["pixels"].startswith("36")


def test_different_protocols_are_shown_by_run(pair) -> None:
    ious = {"road": 0.8}
    assert [name for name, _ in protocols(pair(ious, ious, pixels=1))] == ["first", "second"]
