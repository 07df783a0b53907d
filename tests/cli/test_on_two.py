"""``segue label``, ``fuse`` and ``evaluate`` on two processes: each does a part, and the result is that of one."""

import json
from pathlib import Path

import pytest
from tests.processes import POSIX, on_two
from typer.testing import CliRunner

from segue.cli.main import app
from segue.evaluation import labelling

RUNNER = CliRunner()


def commands(model: Path, pictures: Path, town: Path, out: Path) -> list[list[str]]:
    members = [f"{name}={out / name}" for name in ("sure", "share")]
    return [
        ["label", str(model), str(pictures), "--out", str(out / "sure"), "--threshold", "0.3"],
        ["label", str(model), str(pictures), "--out", str(out / "share"), "--portion", "0.3"],
        ["fuse", *members, "--out", str(out / "fused"), "--policy", "random:1"],
        ["evaluate", str(model), "--data", str(town), "--split", "test", "--json", str(out / "scores.json")],
    ]


def carry_out(rank: int, model: Path, pictures: Path, town: Path, out: Path) -> None:
    predicted: list[str] = []
    write = labelling.write_pictures

    def noting(folder: Path, name: str, *more: object) -> None:
        predicted.append(name)
        write(folder, name, *more)  # type: ignore[arg-type]

    labelling.write_pictures = noting  # type: ignore[assignment]
    said = ""
    for command in commands(model, pictures, town, out):
        found = RUNNER.invoke(app, command)
        assert found.exit_code == 0, f"{rank} {command[0]}: {found.output} {found.exception!r}"
        said += found.stdout
    (out / f"{rank}.json").write_text(json.dumps({"predicted": predicted, "said": said}))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.png"))}


@pytest.mark.slow
@POSIX
def test_two_processes_do_what_one_does(model_folder: Path, labelled_folder: Path, tmp_path: Path) -> None:
    pictures = labelled_folder / "images/val"
    alone, together = tmp_path / "alone", tmp_path / "together"
    for folder in (alone, together):
        folder.mkdir()
    for command in commands(model_folder, pictures, labelled_folder, alone):
        found = RUNNER.invoke(app, command)
        assert found.exit_code == 0, found.output
    on_two(carry_out, model_folder, pictures, labelled_folder, together)
    first, second = (json.loads((together / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first["predicted"] == ["a", "a"] and second["predicted"] == ["b", "b"]
    assert "fused now, of 2" in first["said"] and second["said"] == ""
    assert content(alone) == content(together) and len(content(alone)) == 10
    for name in ("sure/statistics.json", "share/statistics.json", "scores.json"):
        assert json.loads((alone / name).read_text()) == json.loads((together / name).read_text()), name
    counts = [json.loads((folder / "fused/fusion.json").read_text()) for folder in (alone, together)]
    assert counts[0] == counts[1]
