"""``segue saliency`` and ``segue compare`` end to end, and CLDA from a trained teacher with what they wrote."""

import json
from pathlib import Path

import pytest
from PIL import Image
from tests.tiny import QUIET, ready, tiny, write_model
from typer.testing import CliRunner

from segue.cli.main import app
from segue.engine.experiment import load, revise
from segue.engine.run import train
from segue.evaluation.saliency import Saliency
from segue.report.page import write_report
from segue.report.run_folder import RunFolder


def run(*arguments: object):
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def clda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of CLDA, with its teacher beside it in ``large``."""
    folder = tmp_path_factory.mktemp("clda")
    scores = train(ready(tiny("clda"), folder / "large"), folder / "run", console=QUIET, cpu=True)
    assert scores is not None and scores["teacher"]["protocol"]["network"] == "large teacher"
    return folder


@pytest.mark.slow
def test_layers_are_measured_and_drawn(clda: Path, tmp_path: Path) -> None:
    found = run("saliency", clda / "run/teacher", "--out", tmp_path / "s.json", "--pictures", 2)
    assert found.exit_code == 0, found.output
    measured = Saliency.from_json(json.loads((tmp_path / "s.json").read_text()))
    assert measured.against == "agreement" and measured.mean_iou == 1 and len(measured.losses) == 10
    assert (tmp_path / "s.png").read_bytes()[:4] == b"\x89PNG"
    assert f"{len(measured.non_salient())} of 10 layers are non-salient" in found.output


@pytest.mark.slow
def test_every_reference_says_what_it_reads(clda: Path, tmp_path: Path) -> None:
    own = ("--out", tmp_path / "s.json", "--pictures", 1)
    truth = run("saliency", clda / "run", "--against", "truth", *own)
    assert truth.exit_code == 0 and "an oracle" in truth.output
    source = run("saliency", clda / "run", "--against", "source", *own)
    assert source.exit_code == 0 and "oracle" not in source.output
    pseudo = run("saliency", clda / "run", "--against", "pseudo", "--labeller", clda / "run/teacher", *own)
    assert isinstance(pseudo.exception, ValueError)  # an untrained model is sure of nothing
    assert "no pixel had a label" in str(pseudo.exception)
    alone = run("saliency", clda / "run", "--against", "pseudo", *own)
    assert "--labeller" in str(alone.exception)
    without = run("saliency", clda / "large", *own)
    assert "name a folder with --data" in str(without.exception)


@pytest.mark.slow
def test_two_models_are_compared(clda: Path, tmp_path: Path) -> None:
    found = run("compare", clda / "run", clda / "run/teacher", "--pictures", 2, "--out", tmp_path)
    assert found.exit_code == 0, found.output
    record = json.loads((tmp_path / "compare.json").read_text())
    assert len(record["cka"]) == 4 and len(record["cka"][0]) == 10
    assert all(0 <= value <= 1.001 for row in record["cka"] for value in row)
    assert record["parameters"][0] < record["parameters"][1] and min(record["milliseconds"]) > 0
    assert record["variation"]["block1.0.attn"] > 0
    assert (tmp_path / "layers.png").is_file()
    own = run("compare", clda / "run", clda / "run", "--pictures", 2, "--out", tmp_path)
    assert own.exit_code == 0
    record = json.loads((tmp_path / "compare.json").read_text())
    assert all(record["cka"][i][i] == pytest.approx(1) for i in range(4))
    assert set(record["variation"].values()) == {0.0}


@pytest.mark.slow
def test_the_teacher_of_a_run_is_evaluated(clda: Path) -> None:
    found = run("evaluate", clda / "run", "--teacher", "--device", "cpu")
    assert found.exit_code == 0, found.output
    scores = json.loads((clda / "run/scores.json").read_text())
    assert f"{100 * scores['teacher']['mean_iou']:.1f}" in found.output


@pytest.mark.slow
def test_mistakes_are_found_before_anything_is_written(clda: Path, tmp_path: Path) -> None:
    wanted = ready(tiny("clda"), tmp_path / "large")
    missing = revise(wanted, {"method": {"teacher": {"model": None}}})
    other_widths = revise(wanted, {"network": {"encoder": "mit_b0"}})
    renamed = {"data": {"classes": [*wanted.data.classes[:-1], "tram"]}}
    write_model(
        revise(wanted, renamed, {"network": {"encoder": f"{wanted.network.encoder}_deep"}}), tmp_path / "tram"
    )
    other_classes = revise(wanted, {"method": {"teacher": {"model": str(tmp_path / "tram")}}})
    no_file = revise(wanted, {"method": {"teacher": {"saliency": str(tmp_path / "none.json")}}})
    context = {"multi_resolution": {"context_scale": 0.5, "detail": 0.5}}
    other_scale = revise(wanted, {"network": context, "data": {"crop": [128, 128]}})
    wider = revise(wanted, {"network": {"channels": 32}, "terms": {"instance_bank": {"size": 12}}})
    for bad, message in (
        (missing, "name its run with --set method.teacher.model=RUN"),
        (other_widths, r"10 blocks of the teacher .*block1\.0"),
        (other_classes, "was trained on other classes"),
        (no_file, "none.json: no such file"),
        (other_scale, "sees pictures shrunk by 1, the student by 2"),
        (wider, "its embedding has 16 channels, the student's 32"),
    ):
        with pytest.raises((ValueError, OSError), match=message):
            train(bad, tmp_path / "run", console=QUIET, cpu=True)
    assert not (tmp_path / "run").exists()


def test_what_no_bank_can_compare_is_refused(tmp_path: Path) -> None:
    wanted = ready(tiny("kd"), tmp_path / "large")
    bank = {"terms": {"instance_bank": {"size": 12, "beta": 0.9}}}
    with pytest.raises(ValueError, match="corrects hard pseudo-labels"):
        revise(wanted, bank, {"method": {"soft": True}})
    with pytest.raises(ValueError, match="compares a student with its teacher, and method offline has none"):
        revise(tiny("cbst"), bank)
    with pytest.raises(ValueError, match="this recipe has no teacher that learns"):
        train(
            revise(wanted, {"evaluation": {"network": "teacher"}}), tmp_path / "run", console=QUIET, cpu=True
        )
    assert not (tmp_path / "run/checkpoints").exists()


@pytest.mark.slow
def test_layers_are_measured_again_for_another_teacher(clda: Path, tmp_path: Path) -> None:
    """A run that stopped before its first step left a measurement of other weights: it does not count."""
    kept = json.loads((clda / "run/teacher_layers.json").read_text())
    stale = kept | {"teacher": "0" * 64, "saliency": kept["saliency"] | {"against": "truth"}}
    (tmp_path / "run").mkdir()
    (tmp_path / "run/teacher_layers.json").write_text(json.dumps(stale))
    wanted = ready(tiny("clda"), tmp_path / "large")
    assert train(wanted, tmp_path / "run", console=QUIET, cpu=True) is not None
    found = json.loads((tmp_path / "run/teacher_layers.json").read_text())
    assert found["saliency"]["against"] == "agreement" and found["teacher"] != "0" * 64
    assert not RunFolder(tmp_path / "run").reads_target_labels


@pytest.mark.slow
def test_layers_chosen_by_target_labels_make_an_oracle(clda: Path, tmp_path: Path) -> None:
    truth = tmp_path / "truth.json"
    own = ("--pictures", 1, "--out", truth)
    assert run("saliency", clda / "run/teacher", "--against", "truth", *own).exit_code == 0
    wanted = load(clda / "run/experiment.yaml")
    wanted = revise(wanted, {"method": {"teacher": {"saliency": str(truth), "threshold": 100.0}}})
    train(wanted, tmp_path / "run", console=QUIET, cpu=True)
    assert RunFolder(tmp_path / "run").reads_target_labels
    page = write_report(tmp_path / "page.html", [tmp_path / "run"], title="one")
    assert "Target labels were read to adapt: this is an oracle." in page.read_text()
    beside = write_report(tmp_path / "both.html", [tmp_path / "run", clda / "run"], title="two")
    assert "Target labels were read to measure, not to adapt." in beside.read_text()


@pytest.mark.slow
def test_the_file_of_a_measurement_is_json(clda: Path, tmp_path: Path) -> None:
    found = run("saliency", clda / "run", "--pictures", 1, "--out", tmp_path / "s.png")
    assert "name a .json file" in str(found.exception)


@pytest.mark.slow
def test_small_pictures_are_measured_and_compared(clda: Path, tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    Image.new("RGB", (20, 12), "red").save(tmp_path / "small/a.png")
    small = ("--data", tmp_path / "small")
    assert run("saliency", clda / "run", *small, "--out", tmp_path / "s.json").exit_code == 0
    both = (clda / "run", clda / "run/teacher")
    assert run("compare", *both, *small, "--out", tmp_path / "c").exit_code == 0
