"""The script for a GPU does all of its parts, tiny on a processor: each leaves its numbers, or its error, in a file."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from tests.scripts import FOLDER, load_script

FIELDS = {
    "waits": {"waits", "lines"},
    "equal": {"losses", "gradients", "within_1e-4"},
    "steps": {"steps_per_second", "operations"},
    "phases": set[str](),
    "data": {"steps_per_second", "waiting", "workers"},
    "layouts": {"float32 channels_last", "bfloat16 contiguous_format"},
    "resume": {"bit_equal"},
    "predict": {"pictures_per_second"},
}
"""What every item of a part has."""


@pytest.fixture
def gpu() -> Iterator[ModuleType]:
    script = load_script("gpu")
    with script.torch._dynamo.config.patch(disable=True):  # compiling takes minutes
        yield script


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch, of its own functions
@pytest.mark.parametrize("part", FIELDS)
def test_a_part_leaves_its_numbers(gpu: ModuleType, part: str, tmp_path: Path) -> None:
    gpu.measured(part, gpu.SMALL, tmp_path / "gpu.json", 1000.0)
    whole = json.loads((tmp_path / "gpu.json").read_text())
    items = whole["parts"][part]["items"]
    assert whole["small"] is True and whole["machine"]["torch"] and items
    for name, item in items.items():
        assert "error" not in item, (name, item)
        assert set(item) >= FIELDS[part], name
    if part == "equal":
        assert all(item["losses"] == item["gradients"] == 0 for item in items.values())


@pytest.mark.slow
def test_what_fails_or_comes_too_late_is_written_down(
    gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("out of\nmemory")

    path, items = tmp_path / "gpu.json", {"bad": broken, "good": lambda: {"x": 1}}
    monkeypatch.setitem(gpu.PARTS, "steps", (lambda scale: items, 1))
    monkeypatch.setitem(gpu.PARTS, "data", (lambda scale: items, 1))
    gpu.measured("steps", gpu.SMALL, path, 1000.0)
    gpu.measured("data", gpu.SMALL, path, -1.0)
    parts = json.loads(path.read_text())["parts"]
    assert parts["steps"]["items"] == {"bad": {"error": "RuntimeError: out of memory"}, "good": {"x": 1}}
    assert all("not measured" in item["error"] for item in parts["data"]["items"].values())


def test_the_shell_script_knows_every_part(gpu: ModuleType) -> None:
    command = ["bash", str(FOLDER / "gpu.sh"), "-n"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (
        [line.split("gpu.py ")[1].split()[0] for line in said.splitlines()] == list(gpu.PARTS) == list(FIELDS)
    )
    # Together at most 25 minutes, with the start of each process, and each below ten.
    limits = [seconds for _, seconds in gpu.PARTS.values()]
    assert sum(limits) <= 25 * 60 and max(limits) < 600
    wrong = subprocess.run([*command, "nonsense"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2 and "unknown part nonsense" in wrong.stderr
