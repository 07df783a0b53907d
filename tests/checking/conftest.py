"""Two small domains on disk, without anything wrong, to be spoilt."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from segue.checking.checks import findings
from segue.checking.finding import Finding
from segue.engine.inventory import take_inventory
from segue.engine.settings import DataSettings, DomainSettings

CLASSES = ["road", "car", "sky"]
Find = Callable[..., list[tuple[str, Finding]]]


def picture(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Like no other picture."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def save(pixels: np.ndarray, path: Path, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def label(seed: int) -> np.ndarray:
    """All classes, and some ignored pixels."""
    values = np.random.default_rng(seed).integers(0, 3, (6, 8)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    values[:4] = 255
    return values


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six labelled pictures of a source, five of a target, two labelled ones to score on."""
    for place, (domain, number) in enumerate({"source": 6, "target": 5, "evaluation": 2}.items()):
        for n in range(number):
            save(picture(100 * place + n), tmp_path / domain / "images" / f"{n}.png")
            if domain != "target":
                save(label(100 * place + n), tmp_path / domain / "labels" / f"{n}.png")
    (tmp_path / "classes.yaml").write_text(yaml.safe_dump(CLASSES))
    return tmp_path


def settings(root: Path, **more: object) -> DataSettings:
    own = DomainSettings(root=root / "source", label_suffix=more.pop("label_suffix", ""))
    return DataSettings(
        classes=more.pop("classes", CLASSES),
        source=own,
        target=DomainSettings(root=root / "target"),
        evaluation=DomainSettings(root=root / "evaluation"),
        crop=(32, 32),
        **more,
    )


@pytest.fixture
def find(root: Path) -> Find:
    """What is found in the two domains; notes are left out unless asked for."""

    def found(*, notes: bool = False, **more: object) -> list[tuple[str, Finding]]:
        survey = take_inventory(settings(root, **more))
        survey.look(workers=0)
        return [(kind, one) for kind, one in findings(survey) if notes or one.severity != "note"]

    return found
