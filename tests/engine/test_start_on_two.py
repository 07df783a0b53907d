"""At the start of a run on two processes the second opens no file of the data sets, and ends with the same names."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.processes import POSIX, on_two
from tests.tiny import QUIET, tiny

from segue import ranks
from segue.data.dataset import Dataset
from segue.engine import build, run


class AllIsReadyError(Exception):
    """Everything is ready for the first step."""


def write(folder: Path, names: list[str]) -> None:
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
        for name in names:
            pixels = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64) % 2
            Image.fromarray(pixels).save(folder / kind / f"{name}.png")


def start(rank: int, data: Path, out: Path) -> None:
    ranks.join(cpu=True)
    folders = {
        role: {"dataset": "folder", "root": str(data / role), "pictures": None, "domain": None, "split": None}
        for role in ("source", "target", "evaluation")
    }
    changes: dict[str, Any] = {"classes": ["a", "b"], "source_evaluation": None, **folders}
    experiment = tiny("daformer", {"data": changes})
    opened: list[str] = []

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("open", "os.scandir", "os.listdir") and str(arguments[0]).startswith(str(data)):
            opened.append(str(arguments[0]))

    found: dict[str, list[str]] = {}
    build_loader = build.build_loader

    def noting(wanted: object, source: Dataset, target: Dataset, **more: Any) -> object:
        found["source"], found["target"] = (
            [one.name(i) for i in range(len(one))] for one in (source, target)
        )
        loader = build_loader(experiment, source, target, **more)
        found["drawn for"] = loader.batches.domains[0].sampler.probability.tolist()
        return loader

    def ready(*_: object, **__: object) -> None:
        raise AllIsReadyError

    sys.addaudithook(note)
    run.build_loader, run.Trainer = noting, ready  # type: ignore[assignment]
    with pytest.raises(AllIsReadyError):
        run.train(experiment, out / str(rank), console=QUIET, cpu=True)
    (out / f"{rank}.json").write_text(json.dumps({"opened": len(opened), "found": found}))


@POSIX
def test_the_second_process_opens_no_picture(tmp_path: Path) -> None:
    for role in ("source", "target", "evaluation"):
        write(tmp_path / "data" / role, [f"{role}{place}" for place in range(3)])
    (tmp_path / "out").mkdir()
    on_two(start, tmp_path / "data", tmp_path / "out")
    first, second = (json.loads((tmp_path / "out" / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first["opened"] > 0 and second["opened"] == 0
    assert first["found"] == second["found"]
    assert first["found"]["source"] == ["source0", "source1", "source2"]
