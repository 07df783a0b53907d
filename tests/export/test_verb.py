"""`segue export` writes what it says, prints the comparison, and ends with 1 where the two do not predict the same."""

from pathlib import Path

import pytest
from tests.tiny import tiny, write_model
from typer.testing import CliRunner

from segue.cli.main import app
from segue.evaluation.onnx_model import OnnxModel
from segue.export import agreement

NANO = {"network": {"encoder": "mit_nano", "head": "segformer"}}


def export(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["export", *map(str, arguments)])
    if isinstance(result.exception, ValueError | OSError):
        return 2, str(result.exception)
    return result.exit_code, result.output


@pytest.mark.slow
def test_it_writes_compares_and_says_so(tmp_path: Path) -> None:
    write_model(tiny("daformer", NANO), tmp_path / "model")
    code, said = export(tmp_path / "model")
    assert code == 0, said
    assert said.count("1x64x64") == said.count("3x64x64") == 2, "onnxruntime and transformers"
    assert (tmp_path / "model/export/transformers/model.safetensors").is_file()
    assert len(OnnxModel(tmp_path / "model/export/model.onnx").classes) > 3


@pytest.mark.slow
def test_a_difference_ends_with_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tiny("daformer", NANO), tmp_path / "model")
    right = agreement.onnx_predictor
    monkeypatch.setattr(agreement, "onnx_predictor", lambda path: lambda image: right(path)(image).flip(1))
    code, said = export(tmp_path / "model", "--out", tmp_path / "elsewhere")
    assert code == 1 and "differs" in said and "do not use" in said


def test_without_the_runtime_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tiny("daformer", NANO), tmp_path / "model")
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    code, said = export(tmp_path / "model")
    assert code == 2 and "pip install" in said and not (tmp_path / "model/export").exists()
