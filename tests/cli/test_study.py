"""A study runs each variant and seed once, survives failures and repetition, and writes its tables."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.tiny import TINY
from typer.testing import CliRunner

from segue import study as runner
from segue.cli.main import app
from segue.cli.study import study
from segue.engine.experiment import differences
from segue.methods.self_training import SelfTrainingSettings
from segue.recipes import pairs, studies
from segue.recipes.catalogue import RECIPES, experiment
from segue.recipes.studies import ALPHA_0, FULL, STCT, STUDIES, Study, StudyRow
from segue.study import Outcome, finished_score, plan_jobs
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


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(studies.STUDIES, "small", SMALL)
    monkeypatch.setitem(studies.STUDIES, "chain", CHAIN)
    monkeypatch.setitem(pairs.PAIRS, "tiny", merge(TINY, {"steps": 2}))


@pytest.mark.slow
def test_a_study_from_start_to_end(tmp_path: Path, capsys) -> None:
    with pytest.raises(ValueError, match="bad failed; the same command tries them again"):
        study("small", pair="tiny", seeds="0,1", out=tmp_path, jobs=1, cpu=True)
    record = json.loads((tmp_path / "study.json").read_text())
    variants = record["variants"]
    assert list(variants) == ["one", "two", "bad"] and record["steps"] == 2
    assert set(variants["one"]["scores"]) == {"0", "1"} and variants["one"]["spread"] is not None
    assert "no hybrid attention" in variants["bad"]["failed"]["0"]
    text = (tmp_path / "study.md").read_text()
    assert "| one |  |" in text and "50.0" not in text and "| bad |  | failed |" in text
    assert variants["one"]["published"] is None
    models = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model.safetensors")}
    assert len(models) == 4
    study("small", pair="tiny", seeds="0,1", out=tmp_path, jobs=1, cpu=True, only=["one", "two"])
    assert "4 of 4 runs were finished before" in capsys.readouterr().out
    assert models == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model.safetensors")}
    with pytest.raises(ValueError, match=r"holds a run with other settings \(.*steps"):
        study("small", pair="tiny", seeds="0", steps=3, out=tmp_path, cpu=True, only=["one"])


def test_a_number_stands_beside_the_settings_that_it_was_printed_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the pair or the user sets otherwise is told beside the row, which then has no published number."""
    monkeypatch.setattr(runner, "run", lambda jobs, **_: {job.label: Outcome({0: 0.5}) for job in jobs})

    def lines(name: str, pair: str, *assignments: str) -> tuple[dict[str, list[str]], list[str]]:
        study(name, pair=pair, seeds="0", out=tmp_path / pair, cpu=True, assignments=list(assignments))
        text = (tmp_path / pair / "study.md").read_text().splitlines()
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text if line[:1] == "|"]
        return {row[0]: row for row in cells}, [line for line in text if line[:2] == "- "]

    rows, notes = lines("dida_ablations", "gta5_to_cityscapes")
    assert rows["lambda 0.1"][1] == "69.8" and rows["lambda 0.1"][-1] == "" and not notes
    rows, notes = lines("dida_ablations", "gta5_to_cityscapes", "terms.instance_bank.size=100")
    assert rows["K 100"][1:3] == ["", "50.0"] and not [row for row in rows.values() if "." in row[1]]
    assert rows["lambda 0.1"][-1] == "1" and rows["K 100"][-1] == "" and rows["K 150"][-1] == "2"
    assert notes[:2] == [
        f"- {n}: terms.instance_bank.size 100 instead of {k}" for n, k in ((1, 250), (2, 150))
    ]
    assert notes[0][2:] in capsys.readouterr().out
    rows, notes = lines("dida_ablations", "street_scenes")
    assert all(row[1] == "" and row[-1] == "1" for label, row in rows.items() if row[2] == "50.0")
    assert len(notes) == 1 and "method.momentum 0.9 instead of 0.999" in notes[0]
    assert "terms.feature_distance left out" in notes[0]
    variants = json.loads((tmp_path / "street_scenes" / "study.json").read_text())["variants"]
    assert variants["dida"]["published"] is None
    assert variants["dida"]["overridden"]["method.momentum"] == "0.9 instead of 0.999"


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
    monkeypatch.setattr(runner, "run", lambda jobs, **_: {job.label: Outcome({0: 0.3}) for job in jobs})
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
            assert f"| {label} | {number} | 30.0 |" in text, pair
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
    assert finished_score(job) is None


@pytest.mark.slow
def test_a_row_starts_from_the_run_of_another_one(tmp_path: Path, capsys) -> None:
    """What it needs is run before it, with the same seed, even if only the row itself is asked for."""
    study("chain", pair="tiny", seeds="0,1", out=tmp_path, jobs=2, cpu=True, only=["later"])
    printed = capsys.readouterr().out
    lines = [line.split(",")[0] for line in printed.splitlines() if ", seed " in line]
    assert lines == ["earlier", "earlier", "later", "later"]
    for seed in (0, 1):
        text = (tmp_path / f"later/seed{seed}/experiment.yaml").read_text()
        assert f"start: {tmp_path}/earlier/seed{seed}" in text
    assert not (tmp_path / "other").exists()
