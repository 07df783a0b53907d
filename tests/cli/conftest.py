"""The command in this process, street scenes in folders, a small untrained model, and a folder it can be scored on."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.street_folders import write_folder

from segue import progress
from segue.cli.main import main
from segue.models.build import build_segmenter
from segue.models.weights import Card, save_model
from segue.protocol import PredictionProtocol

Run = Callable[..., tuple[int, str, str]]
CLASSES = ["road", "car", "sky"]
NETWORK = {"encoder": "mit_nano", "head": "segformer", "num_classes": 3, "channels": 8}


@pytest.fixture(autouse=True)
def _no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command says does not depend on how fast the machine is."""
    monkeypatch.setattr(progress, "FIRST", 3600.0)


@pytest.fixture
def segue(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command: exit code, and what it wrote to its two streams."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["segue", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        said = capsys.readouterr()
        return int(stopped.value.code or 0), said.out, said.err

    return run


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of street scenes, three pictures each; a module that needs others has a fixture of this name."""
    root = tmp_path_factory.mktemp("folders")
    for domain in ("source", "target"):
        write_folder(root / domain, domain=domain, split="train", count=3, size=(32, 64))
    return root


@pytest.fixture
def folders(made: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(made, tmp_path / "data"))


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("trained") / "kept"
    card = Card(
        classes=CLASSES,
        colours=[[128, 64, 128], [0, 0, 142], [70, 130, 180]],
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        network=NETWORK,
        prediction=PredictionProtocol((32, 64)),
        recipe="source_only",
        step=3,
    )
    save_model(folder, build_segmenter(**NETWORK), card)
    return folder


@pytest.fixture
def labelled_folder(tmp_path: Path) -> Path:
    """Two splits of two pictures; values 0 and 1 are labelled, some pixels ignored."""
    generator = np.random.default_rng(0)
    for split in ("val", "test"):
        for name in ("a", "b"):
            save(tmp_path / f"town/images/{split}/{name}.jpg", generator.integers(0, 256, (40, 70, 3)))
            label = generator.integers(0, 2, (40, 70))
            label[:5] = 255
            save(tmp_path / f"town/labels/{split}/{name}.png", label)
    return tmp_path / "town"


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
