"""A study runs each variant and seed once, survives failures and repetition, and writes its tables."""

import json
import multiprocessing
import shlex
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console
from tests.processes import quick_starts
from tests.tiny import TINY
from typer.testing import CliRunner

from segue.cli.main import app
from segue.cli.study import study
from segue.engine.experiment import differences, parse_assignments, save
from segue.methods.self_training import SelfTrainingSettings
from segue.recipes import pairs, studies
from segue.recipes.catalogue import RECIPES, experiment
from segue.recipes.studies import ALPHA_0, FULL, STCT, STUDIES
from segue.recipes.study import Study, StudyRow
from segue.study import runs
from segue.study.record import paired, read, score_of
from segue.study.runs import Job, plan_jobs
from segue.study.tables import rows as rows_of
from segue.study.variants import Bed
from segue.trees import merge

SMALL = Study(
    question="Does it run?",
    paper="nobody",
    baseline="one",
    tables={
        "first": (
            StudyRow("one", "source_only", published=50.0),
            StudyRow("two", "source_only", {"optim": {"lr": 0.001}}),
        ),
        "second": (
            StudyRow("two", "source_only", {"optim": {"lr": 0.001}}),
            StudyRow("bad", "stct", {"network": {"encoder": "mobilenet_v2"}, "method": {"pair": {}}}),
        ),
    },
)

CHAIN = Study(
    question="In what order?",
    paper="nobody",
    baseline="later",
    tables={
        "only": (
            StudyRow("later", "source_only", needs={"network.start": "earlier"}),
            StudyRow("earlier", "source_only", {"optim": {"lr": 0.002}}),
            StudyRow("other", "source_only", {"optim": {"lr": 0.003}}),
        )
    },
)


def pretend(monkeypatch: pytest.MonkeyPatch, iou: float) -> None:
    """Let every run end at once with the same score."""

    def run(jobs: Sequence[Job], **_: object) -> dict[Path, str]:
        for job in jobs:
            save(job.experiment, job.folder / "experiment.yaml")
            (job.folder / "scores.json").write_text(json.dumps({"mean_iou": iou, "per_class_iou": {}}))
        return {}

    monkeypatch.setattr(runs, "run", run)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_starts(monkeypatch, runs)
    monkeypatch.setitem(studies.STUDIES, "small", SMALL)
    monkeypatch.setitem(studies.STUDIES, "chain", CHAIN)
    monkeypatch.setitem(pairs.PAIRS, "tiny", merge(TINY, {"steps": 2}))


@pytest.mark.slow
def test_a_study_from_start_to_end(tmp_path: Path, capsys) -> None:
    with pytest.raises(ValueError, match="bad failed; the same command tries them again"):
        study("small", pair="tiny", seeds="0,1", out=tmp_path, jobs=1, cpu=True)
    record = json.loads((tmp_path / "study.json").read_text())
    variants = record["variants"]
    assert list(variants) == ["one", "two", "bad"] and variants["one"]["steps"] == 2
    assert set(variants["one"]["scores"]) == {"0", "1"} and variants["one"]["scores"]["0"]["minutes"] > 0
    assert "no hybrid attention" in variants["bad"]["failed"]["0"]
    text = (tmp_path / "study.md").read_text()
    assert "| one | " in text and "50.0" not in text and "| bad | failed |" in text
    assert "- bad, seed 1: MobileNetV2 has no hybrid attention" in text
    assert variants["one"]["published"] is None
    models = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model.safetensors")}
    assert len(models) == 4
    study("small", pair="tiny", seeds="0,1", out=tmp_path, jobs=1, cpu=True, only=["one", "two"])
    assert "4 of 4 runs were finished before" in capsys.readouterr().out
    assert models == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model.safetensors")}
    with pytest.raises(ValueError, match=r"holds a run with other settings \(.*steps"):
        study("small", pair="tiny", seeds="0", steps=3, out=tmp_path, cpu=True, only=["one"])


@pytest.mark.slow
def test_a_number_stands_beside_the_settings_that_it_was_printed_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the pair or the user sets otherwise is told beside the row, which then has no published number."""
    pretend(monkeypatch, 0.5)

    def lines(name: str, pair: str, *assignments: str) -> tuple[dict[str, tuple[str, ...]], list[str]]:
        out = tmp_path / f"{pair}{len(assignments)}"
        study(name, pair=pair, seeds="0", out=out, cpu=True, assignments=list(assignments))
        record = read(out / "study.json")
        text = (out / "study.md").read_text().splitlines()
        found = {row[0]: row for table in rows_of(record).values() for row in table}
        return found, [line for line in text if line[:2] == "- "]

    rows, notes = lines("dida_ablations", "gta5_to_cityscapes")
    assert rows["lambda 0.1"][1] == "69.8" and rows["lambda 0.1"][-1] == "" and not notes
    rows, notes = lines("dida_ablations", "gta5_to_cityscapes", "terms.instance_bank.size=100")
    assert rows["K 100"][1:3] == ("", "50.0") and not [row for row in rows.values() if "." in row[1]]
    assert rows["lambda 0.1"][-1] == "1" and rows["K 100"][-1] == "" and rows["K 150"][-1] == "2"
    assert notes[:2] == [
        f"- {n}: terms.instance_bank.size 100 instead of {k}" for n, k in ((1, 250), (2, 150))
    ]
    assert notes[0][2:] in capsys.readouterr().out
    rows, notes = lines("dida_ablations", "street_scenes")
    assert all(row[1] == "" and row[-1] == "1" for label, row in rows.items() if row[2] == "50.0")
    assert len(notes) == 1 and "method.teacher.momentum 0.9 instead of 0.999" in notes[0]
    assert "terms.feature_distance left out" in notes[0]
    variants = json.loads((tmp_path / "street_scenes0" / "study.json").read_text())["variants"]
    assert variants["dida"]["published"] is None
    assert variants["dida"]["set_otherwise"]["method.teacher.momentum"] == "0.9 instead of 0.999"


def test_bad_names(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown study 'smal'; did you mean 'small'"):
        study("smal")
    with pytest.raises(ValueError, match="--only 'on': no such variant; did you mean 'one'"):
        study("small", pair="tiny", out=tmp_path, only=["on"])
    with pytest.raises(ValueError, match="--seeds '0;1'"):
        study("small", pair="tiny", out=tmp_path, seeds="0;1")
    with pytest.raises(ValueError, match="--seeds 0,0: a seed comes twice"):
        study("small", pair="tiny", out=tmp_path, seeds="0,0")


def test_studies_are_listed() -> None:
    said = CliRunner().invoke(app, ["study"])
    assert said.exit_code == 0 and "stct_mha_ablations" in said.output


def test_two_labels_of_one_folder_are_refused(tmp_path: Path) -> None:
    wanted = [experiment("source_only", TINY)]
    with pytest.raises(ValueError, match="would share the folder"):
        plan_jobs({"a b": wanted, "A-B": wanted}, tmp_path)


@pytest.mark.parametrize("name", list(STUDIES))
def test_every_row_is_an_experiment_and_baselines_exist(name: str) -> None:
    found = STUDIES[name]
    labels = [row.label for table in found.tables.values() for row in table]
    assert found.baseline in labels
    rows: dict[str, StudyRow] = {}
    for table in found.tables.values():
        for row in table:
            assert rows.setdefault(row.label, row) == row
            experiment(row.recipe, TINY, row.changes, size=row.size)


def test_teachers_are_large_and_students_small_on_every_pair() -> None:
    """The rows of a table that is printed beside the paper's have the paper's networks."""
    rows = {row.label: row for table in STUDIES["clda"].tables.values() for row in table}
    for name, large, small in (
        ("street_scenes", "mit_nano_deep", "mit_nano"),
        ("gta5_to_cityscapes", "mit_b5", "mit_b3"),
    ):
        for label, row in rows.items():
            found = experiment(row.recipe, pairs.PAIRS[name], row.changes, size=row.size)
            assert found.network.encoder == (large if label == "large teacher" else small), (name, label)


def test_a_study_prints_the_numbers_of_the_pair_that_is_run(tmp_path: Path, monkeypatch, capsys) -> None:
    """On GTA5 to Cityscapes the table's, on SYNTHIA those of recipes as they are, on the street scenes none."""
    monkeypatch.setitem(
        studies.STUDIES, "numbers", Study("?", "nobody", "STCT", {"only": (STCT, ALPHA_0, FULL)})
    )
    pretend(monkeypatch, 0.3)
    expected = {
        "street_scenes": {"STCT": "", "alpha 0": "", "STCT + MHA": ""},
        "gta5_to_cityscapes": {"STCT": "56.6", "alpha 0": "51.4", "STCT + MHA": "68.0"},
        "synthia_to_cityscapes": {"STCT": "", "alpha 0": "", "STCT + MHA": "59.8"},
    }
    for pair, numbers in expected.items():
        out = tmp_path / pair
        study("numbers", pair=pair, seeds="0", out=out, cpu=True)
        text, record = (out / "study.md").read_text(), json.loads((out / "study.json").read_text())
        printed = capsys.readouterr().out
        for label, number in numbers.items():
            assert f"| {label} | {number} | 30.0 |".replace(" |  |", " |") in text.replace(" |  |", " |"), (
                pair
            )
            assert (record["variants"][label]["published"] is None) == (not number)
            assert not number or number in printed
        assert "GTA5" not in text + printed


def test_a_recipe_s_number_is_the_same_in_studies_and_rows() -> None:
    for found in STUDIES.values():
        if found is SMALL:
            continue
        for row in (row for table in found.tables.values() for row in table):
            rows = RECIPES[row.recipe].rows
            if rows and row.published is not None and not (row.changes or row.needs or row.size):
                printed = rows["gta5_to_cityscapes"].mean
                assert row.published == pytest.approx(printed, abs=0.06), row.label


def test_stct_is_compared_with_the_same_training_without_the_target() -> None:
    """The paper's 51.37 is alpha = 0, and its best row has a counterpart without coordination, 67.06."""
    main = {row.label: row for row in STUDIES["stct_mha"].tables["main"]}
    assert STUDIES["stct_mha"].baseline == "alpha 0" and main["alpha 0"].published == 51.37
    assert main["source only"].published is None
    base, coordinated = (experiment("stct", TINY, main[label].changes) for label in ("alpha 0", "STCT"))
    assert differences(base, coordinated) == ["method.coordinate.alpha"]
    with_, without = main["from source only"], main["from source only, no coordination"]
    assert (with_.published, without.published) == (69.18, 67.06) and with_.needs == without.needs
    found = [experiment(row.recipe, TINY, row.changes) for row in (with_, without)]
    assert differences(*found) == ["method.coordinate.mode"]


def test_stct_s_ablations_have_the_alphas_thresholds_and_ratios() -> None:
    tables = STUDIES["stct_mha_ablations"].tables

    def values(title: str, read: Callable[[SelfTrainingSettings], object]) -> list[object]:
        found = [experiment(row.recipe, TINY, row.changes).method for row in tables[title]]
        return [read(method) for method in found if isinstance(method, SelfTrainingSettings)]

    alphas = values("figure 4: alpha", lambda m: m.coordinate and m.coordinate.alpha)
    assert alphas == [0, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-4]
    title = "section 3.1: other ways to coordinate"
    modes = values(title, lambda m: m.coordinate and (m.coordinate.mode, m.coordinate.threshold))
    assert modes[3:] == [("threshold", share) for share in (0.5, 0.7, 0.9)]
    shares = values(
        "section 3.3.2: share of the other domain's keys", lambda m: m.pair and m.pair.inter_share
    )
    assert shares == [0.1, 0.3, 0.5, 0.7, 0.9]


def test_a_score_that_is_none_is_no_score(tmp_path: Path) -> None:
    wanted = experiment("source_only", TINY)
    (job,) = plan_jobs({"one": [wanted]}, tmp_path)
    job.folder.mkdir(parents=True)
    (job.folder / "scores.json").write_text(json.dumps({"mean_iou": None}))
    assert score_of(job.folder) is None and not job.is_finished


@pytest.mark.slow
def test_a_row_starts_from_the_run_of_another_one(tmp_path: Path, capsys) -> None:
    """What it needs is run before it, with the same seed, even if only the row itself is asked for."""
    study("chain", pair="tiny", seeds="0,1", out=tmp_path, jobs=2, cpu=True, only=["later"])
    printed = capsys.readouterr().out
    lines = [line.split(":")[0] for line in printed.splitlines() if ", seed " in line]
    assert sorted(lines) == [f"{row}, seed {seed}" for row in ("earlier", "later") for seed in (0, 1)]
    for seed in (0, 1):
        assert lines.index(f"earlier, seed {seed}") < lines.index(f"later, seed {seed}")
        text = (tmp_path / f"later/seed{seed}/experiment.yaml").read_text()
        assert f"start: {tmp_path}/earlier/seed{seed}" in text
    assert not (tmp_path / "other").exists()


def test_differences_are_tested_in_pairs() -> None:
    """Against printed quantiles of Student's distribution: 4.303 at 2 degrees of freedom, 2.776 at 4, two-sided."""
    for spread, n, t in ((1.0, 3, 4.303), (0.5, 5, 2.776)):
        pattern = [-1.0, 1.0] * (n // 2) + [0.0]
        scale = spread / statistics.stdev(pattern)
        wanted = t * spread / n**0.5
        found = paired([wanted + scale * part for part in pattern])
        assert found is not None and found.mean == pytest.approx(wanted)
        assert found.p == pytest.approx(0.05, abs=2e-4)
    assert paired([]) is None and paired([0.2]) == (0.2, None) and paired([0.0, 0.0]) == (0.0, 1.0)


def test_a_row_is_compared_with_the_base_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for label, iou in (("start", 0.3), ("alone", 0.5), ("taught", 0.6)):
        folder = tmp_path / "out" / label / "seed0"
        folder.mkdir(parents=True)
        (folder / "scores.json").write_text(json.dumps({"mean_iou": iou, "per_class_iou": {}}))
    path = tmp_path / "mine.yaml"
    text = """
        baseline: start
        rows:
          - {label: start, recipe: source_only}
          - {label: alone, recipe: dacs}
          - {label: taught, recipe: daformer, base: alone}
        """
    path.write_text(text)

    def run(jobs: Sequence[Job], **_: object) -> dict[Path, str]:
        for job in jobs:
            save(job.experiment, job.folder / "experiment.yaml")
        return {}

    monkeypatch.setattr(runs, "run", run)
    study(str(path), pair="tiny", seeds="0", out=tmp_path / "out", cpu=True)
    record = read(tmp_path / "out" / "study.json")
    lines = {line[0]: line for line in rows_of(record)["rows"]}
    assert [lines[label][4] for label in ("start", "alone", "taught")] == ["", "+20.0", "+10.0"]
    text = (tmp_path / "out" / "study.md").read_text()
    assert "differences to 'start' (of 'taught' to 'alone') over the same seeds" in text
    path.write_text(path.read_text().replace("base: alone", "base: alnoe"))
    with pytest.raises(ValueError, match="base of 'taught': no row 'alnoe'; did you mean 'alone'"):
        study(str(path), pair="tiny", out=tmp_path / "out", cpu=True)


def test_a_study_of_one_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A YAML file is a study; what is wrong in it is named."""
    pretend(monkeypatch, 0.4)
    path = tmp_path / "mine.yaml"
    text = """
        baseline: start
        rows:
          - {label: start, recipe: source_only}
          - label: more
            recipe: daformer
            needs: {network.start: start}
            changes: {method: {teacher: {momentum: 0.5}}}
        """
    path.write_text(text)
    study(str(path), pair="tiny", seeds="3", out=tmp_path / "out", cpu=True)
    record = read(tmp_path / "out" / "study.json")
    assert record.study == record.question == "mine" and record.seeds == [3]
    assert record.variants["more"].changes == {"method": {"teacher": {"momentum": 0.5}}}
    for right, wrong, message in (
        ("baseline: start", "baseline: strat", "mine.yaml: baseline: no row 'strat'; did you mean 'start'"),
        ("recipe: daformer", "recipe: daforma", "unknown recipe 'daforma'"),
        ("network.start: start", "network.start: begin", "mine.yaml: needs of 'more': no row 'begin'"),
        ("label: more", "label: start", "mine.yaml: two different rows are called 'start'"),
        ("changes:", "change:", r"mine.yaml: tables.rows.1.change: Unexpected keyword"),
        ("baseline: start", "", "mine.yaml: baseline: Field required"),
    ):
        path.write_text(text.replace(right, wrong))
        with pytest.raises(ValueError, match=message):
            study(str(path), pair="tiny", out=tmp_path / "out", cpu=True)


@pytest.mark.parametrize("name", list(STUDIES))
def test_the_command_of_a_row_trains_that_row(name: str, tmp_path: Path) -> None:
    """What `segue train` makes of the printed words is the row's own experiment."""
    bed = Bed("tiny", tmp_path, steps=5, assignments=["optim.lr=0.5", "data.classes=[road, sky]"])
    for row in STUDIES[name].rows.values():
        words = shlex.split(bed.command(row).replace("SEED", "7"))
        assert words[:5] == ["segue", "train", row.recipe, "--pair", "tiny"]
        sets = [value for flag, value in pairwise(words) if flag == "--set"]
        flags = {"seed": 7, "steps": 5}
        wanted = experiment(row.recipe, pairs.pair("tiny"), flags, parse_assignments(sets))
        assert not differences(wanted, bed.experiment(row, 7)), row.label
        assert words[-1] == str(runs.run_folder(tmp_path, row.label, 7))


@pytest.mark.slow
def test_a_run_that_dies_stops_nobody_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Killed from outside, as for want of memory: reported, its successors too, and the others are finished."""
    jobs = plan_jobs(
        {
            label: [experiment("source_only", TINY, {"steps": steps})]
            for label, steps in (("a", 10**6), ("b", 2))
        },
        tmp_path,
    )
    later = replace(jobs[0], label="later", folder=tmp_path / "later", needs=(jobs[0].folder,))

    def kill() -> None:
        while not jobs[1].is_finished or len(left := multiprocessing.active_children()) > 1:
            time.sleep(0.1)
        left[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    circle = replace(jobs[0], label="circle", folder=tmp_path / "circle", needs=(tmp_path / "circle",))
    failures = runs.run([*jobs, later, circle], workers=2, console=Console(), cpu=True)
    killer.join()
    assert failures[jobs[0].folder].startswith("its process died (signal 9)")
    assert failures[later.folder] == failures[circle.folder] == "a run that it starts from has failed"
    assert jobs[1].is_finished and "b, seed 0: " in capsys.readouterr().out


def test_a_record_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text('{"study": 3}')
    with pytest.raises(ValueError, match=r"study.json: not the record of a study: \w+: "):
        read(tmp_path / "study.json")
