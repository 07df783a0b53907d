"""``segue saliency`` and ``segue compare`` end to end, and CLDA from a trained teacher with what they wrote."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from tests.tiny import ready, tiny
from typer.testing import CliRunner

from segue.cli.main import app
from segue.engine.experiment import revise
from segue.engine.run import train
from segue.evaluate.saliency import Saliency

QUIET = Console(file=io.StringIO())


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
    missing = revise(wanted, {"method": {"teacher_model": None}})
    other_widths = revise(wanted, {"network": {"encoder": "mit_b0"}})
    fewer = revise(wanted, {"data": {"classes": [*wanted.data.classes[:-1], "tram"]}})
    no_file = revise(wanted, {"method": {"collaborate": {"saliency": str(tmp_path / "none.json")}}})
    for bad, message in (
        (missing, "name its run with --set method.teacher_model=RUN"),
        (other_widths, r"10 blocks of the teacher .*block1\.0"),
        (fewer, "other classes apart"),
        (no_file, "none.json: no such file"),
    ):
        with pytest.raises((ValueError, OSError), match=message):
            train(bad, tmp_path / "run", console=QUIET, cpu=True)
    assert not (tmp_path / "run").exists()
