"""The wheel alone runs the demo: templates, tables and every other file come out of it, none out of a checkout.

It is built from the checkout and unpacked into a folder of its own, which comes before everything that is installed.
There, opening a file of the checkout or of an installed copy of the package is an error, in every process.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import segue
from tests.cli.test_demo import TINY

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
GUARD = """
import os, sys

FORBIDDEN = {forbidden!r}

def refuse(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and os.path.abspath(arguments[0]).startswith(FORBIDDEN):
        raise RuntimeError(f"opened {{arguments[0]}}, which is not the wheel's")

sys.addaudithook(refuse)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built with the backend that is installed, so without a network."""
    pytest.importorskip("hatchling", reason="the build backend is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps"]
    built = subprocess.run(
        [*command, "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert built.returncode == 0, built.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def alone(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that has the package from the wheel only, and its folder as ``WHEEL``."""
    folder, guard = tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("guard")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run(
        [*command, "--no-deps", "--no-index", "--target", str(folder), str(wheel)], check=True, timeout=300
    )
    forbidden = tuple({f"{ROOT / 'src'}{os.sep}", f"{Path(segue.__file__).resolve().parents[1]}{os.sep}"})
    (guard / "sitecustomize.py").write_text(GUARD.format(forbidden=forbidden), encoding="utf-8")
    return {
        **os.environ,
        "WHEEL": str(folder),
        "PYTHONPATH": os.pathsep.join([str(guard), str(folder)]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    """Modules, templates, tables, and the mark that the package is typed; the licence; nothing beside the package."""
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    package = ROOT / "src" / "segue"
    wanted = {
        path.relative_to(package.parent).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in inside if name.startswith("segue/")} == wanted
    assert {name.partition("/")[0] for name in inside} == {
        "segue",
        f"segue_uda-{segue.__version__}.dist-info",
    }
    assert any(name.endswith("/licenses/LICENSE") for name in inside)


def test_the_wheel_alone_runs_the_demo(alone: dict[str, str], tmp_path: Path) -> None:
    """From the installed command to the report, in a folder without a checkout; the recipes' tables as well."""
    command = [sys.executable, str(Path(alone["WHEEL"]) / "bin" / "segue")]
    sizes = [part for assignment in TINY for part in ("--set", assignment)]
    for arguments in (["recipes", "daformer"], ["demo", "--out", "demo", "--steps", "2", *sizes]):
        done = subprocess.run(
            [*command, *arguments], cwd=tmp_path, env=alone, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "<html" in (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")


def test_the_guard_guards(alone: dict[str, str], tmp_path: Path) -> None:
    """The package is the wheel's, and a file of the checkout cannot be opened."""
    text = f"import segue; print(segue.__file__); open({str(ROOT / 'src' / 'segue' / 'files.py')!r})"
    found = subprocess.run(
        [sys.executable, "-c", text], cwd=tmp_path, env=alone, capture_output=True, text=True
    )
    assert found.stdout.startswith(alone["WHEEL"])
    assert found.returncode != 0 and "which is not the wheel's" in found.stderr
