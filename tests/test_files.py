"""Half-written files have names that no other process takes, even one of the same number on another host."""

import os
from pathlib import Path

import pytest

from segue import files


def test_names_carry_host_process_and_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "node 7/" + "x" * 300)
    one, other = (files.part_beside(Path("run/model.safetensors")) for _ in range(2))
    assert one.parent == Path("run") and one != other
    assert one.name.startswith(f".model.safetensors.node-7-{'x' * 13}-{os.getpid()}-")
    assert one.name.endswith(".part")
    assert len(files.part_beside(Path("x" * 255)).name) < 256


def test_what_was_half_written_is_cleared(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / ".0000002.a-1-ab.part").mkdir(parents=True)
    (tmp_path / "checkpoints" / ".0000002.a-1-ab.part" / "method.safetensors").touch()
    for name in (".scores.json.a-1-ab.part", "scores.json", ".hidden", "checkpoints/0000001"):
        (tmp_path / name).touch()
    files.clear_parts(tmp_path)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert left == {"scores.json", ".hidden", "checkpoints", "checkpoints/0000001"}
