"""The page's part without target labels: the verdict, alarms, measures, and target pictures, most changed first."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segue.evaluation import evidence
from segue.evaluation.evidence import Record, Row
from segue.report.evidence import find_evidence
from segue.report.page import write_report
from segue.report.roles import assign_roles
from segue.report.run_folder import RunFolder

CLASSES = ["road", "car", "sky"]
MEASURES = {
    "steadiness": {"title": "steady <b>", "better": 1, "votes": True},
    "entropy": {"title": "entropy", "better": -1, "votes": False},
}


def row(step: int, level: float, alarms: list[str] | None = None) -> Row:
    values = {"steadiness": level, "entropy": 1 - level}
    each = {"steadiness": [level] * 8}
    return Row(step, values, each, [0.5, 0.1, 0.4], [0.9, 0.5, None], alarms or [], bool(alarms))


def record(*rows: Row, start: str | None = "runs/source_only") -> Record:
    return Record(
        MEASURES,
        CLASSES,
        True,
        [f"t{k}" for k in range(8)],
        True,
        8,
        False,
        [0.6, 0.1, 0.3],
        start,
        list(rows),
    )


@pytest.fixture
def run(make_run: Callable[..., Path]) -> Path:
    """A run without scores that has kept two target pictures."""
    folder = make_run("adapted", scores=False, pictures=0)
    evidence.write(folder, record(row(0, 0.4), row(100, 0.5), row(200, 0.6)))
    index = []
    for place, changed in enumerate((0.1, 0.3)):
        for kind in ("image", "before", "after"):
            path = folder / evidence.PICTURES / f"{place}" / f"{kind}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 16, 3), 40 * place, np.uint8)).save(path)
        paths = {k: f"pictures/target/{place}/{k}.png" for k in ("image", "before", "after")}
        index.append(
            {"name": f"street{place}", **paths, "changed": changed, "moves": [["road", "car", changed]]}
        )
    (folder / evidence.PICTURES / "index.json").write_text(json.dumps(index))
    return folder


def page(tmp_path: Path, *runs: Path) -> str:
    return write_report(tmp_path / "out.html", list(runs), title="T").read_text()


def test_without_labels_the_page_begins_with_what_can_be_told(run: Path, tmp_path: Path) -> None:
    text = page(tmp_path, run)
    assert text.count("It helped, by what can be told without target labels (1 of 1 measures for it") == 1
    assert "No verdict yet" not in text and "Without target labels" in text
    assert "steady &lt;b&gt;" in text and "steady <b>" not in text
    assert text.index("street1") < text.index("street0") and "road → car (30.0%)" in text
    assert text.count('class="chart"') >= 2 and 'id="viewer"' in text


def test_labels_speak_first_where_there_are_any(
    make_run: Callable[..., Path], run: Path, tmp_path: Path
) -> None:
    before, after = make_run("source_only", 0.4, recipe="source_only"), make_run("second", 0.6)
    evidence.write(after, record(row(0, 0.6), row(200, 0.4)))
    text = page(tmp_path, before, after)
    assert text.index("Adaptation helped.") < text.index("It hurt, by what can be told without target labels")


def test_a_baseline_of_the_same_pictures_is_compared_with(make_run: Callable[..., Path], run: Path) -> None:
    first = make_run("source_only", recipe="source_only", scores=False, pictures=0)
    evidence.write(first, record(row(80, 0.9), start=None))
    found = find_evidence(assign_roles([RunFolder(first), RunFolder(run)]))
    assert found is not None and found.before == "source_only"
    assert found.verdict is not None and found.verdict.finding == "hurt"
    assert [(one.before, one.after, one.tone) for one in found.measures] == [
        ("0.9", "0.6", "loss"),
        ("0.1", "0.4", "loss"),
    ]


def test_alarms_stand_on_the_page_with_their_steps(run: Path, tmp_path: Path) -> None:
    evidence.write(run, record(row(0, 0.4), row(100, 0.5, ["road takes over: 90.0% of the target"])))
    text = page(tmp_path, run)
    assert "step 100: road takes over" in text and "It hurt" in text


def test_a_source_only_run_and_an_older_one_get_no_such_verdict(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    plain = make_run("plain", recipe="source_only", scores=False, pictures=0)
    assert "No verdict yet" in page(tmp_path, plain) and 'id="evidence"' not in page(tmp_path, plain)


def test_no_picture_from_outside_the_run_comes_onto_the_page(run: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(secret)
    entry = {"name": "x", "image": "../secret.png", "before": str(secret), "after": None}
    (run / evidence.PICTURES / "index.json").write_text(json.dumps([entry]))
    assert [(one.image, one.before, one.after) for one in RunFolder(run).target_pictures] == [
        (None, None, None)
    ]
    (run / evidence.PICTURES / "index.json").write_text("[3]")
    with pytest.raises(ValueError, match=r"index\.json cannot be read"):
        RunFolder(run)
