"""Made-up run folders: small street-like pictures, falling losses, scores; every part can be left out."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from segue.classes import CITYSCAPES_19
from segue.report.roles import ShownRun, assign_roles
from segue.report.run_folder import RunFolder
from segue.scores import Scores

CLASSES = ("road", "sidewalk", "building", "vegetation", "sky", "car", "person", "train")
PALETTE = np.array(CITYSCAPES_19.subset(CLASSES).colours, dtype=np.uint8)
MakeRun = Callable[..., Path]


def street(rng: np.random.Generator, *, height: int = 48, width: int = 96) -> np.ndarray:
    """The class ids of a street: sky over houses and trees over a road, with cars and people."""
    ids = np.full((height, width), 4, dtype=np.uint8)
    horizon = height // 2
    for left in range(0, width, 12):
        ids[rng.integers(height // 8, horizon) :, left : left + 12] = rng.choice([2, 3])
    ids[horizon:] = 1
    for row in range(horizon, height):
        half = 6 + (row - horizon) * width // height
        ids[row, max(0, width // 2 - half) : width // 2 + half] = 0
    for _ in range(3):
        x, y = rng.integers(0, width - 14), rng.integers(horizon, height - 8)
        ids[y : y + 6, x : x + 13] = 5
        ids[y - 4 : y + 7, (x + 30) % width : (x + 33) % width] = 6
    return ids


def save(path: Path, pixels: np.ndarray) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return f"pictures/evaluation/{path.name}"


def write_pictures(folder: Path, rng: np.random.Generator, *, number: int, noise: float) -> None:
    """Evaluation pictures whose predictions are wrong in blocks, and what the student saw at two steps."""
    listed: list[dict[str, Any]] = []
    shared = np.random.default_rng(7)
    for i in range(number):
        ids = street(shared)
        wrong = np.kron(rng.random((12, 24)) < noise, np.ones((4, 4), dtype=bool))
        predicted = np.where(wrong, (ids + 1) % len(CLASSES), ids)
        photo = np.clip(PALETTE[ids] * 0.7 + shared.normal(50, 12, (*ids.shape, 3)), 0, 255).astype(np.uint8)
        place = folder / "pictures" / "evaluation"
        listed.append(
            {
                "name": f"street_{i:03d}",
                "image": save(place / f"{i}_image.png", photo),
                "label": save(place / f"{i}_label.png", PALETTE[ids]),
                "prediction": save(place / f"{i}_prediction.png", PALETTE[predicted]),
                "mean_iou": round(float((~wrong).mean()), 4),
            }
        )
    (folder / "pictures/evaluation/index.json").write_text(json.dumps(listed))
    for step in (0, 100, 200):
        save(
            folder / "pictures" / "views" / f"{step}.png", np.hstack([PALETTE[street(rng)] for _ in range(4)])
        )
    for step in (3, 10):
        save(folder / "pictures" / "progress" / f"{step:07d}.png", PALETTE[street(rng)])


def write_logs(folder: Path, rng: np.random.Generator, *, steps: int, losses: Sequence[str]) -> None:
    metrics, timing = [], []
    for step in range(0, steps, 10):
        values = {name: 0.3 + 1.5 * np.exp(-step / 90) + 0.1 * rng.random() for name in losses}
        rate = 6e-5 * min(1.0, (step + 1) / 40) * (1 - step / steps)
        row = {"step": step, "lr": rate, "loss": sum(values.values()), **values}
        metrics.append(json.dumps(row | {"quality": 1 - np.exp(-step / 80)}))
        timing.append(
            json.dumps({"step": step, "seconds": step * 0.2, "steps_per_second": 5.0, "memory_mb": 812.0})
        )
    (folder / "metrics.jsonl").write_text("\n".join(metrics) + "\n")
    (folder / "timing.jsonl").write_text("\n".join(timing) + "\n")


def scores_of(ious: dict[str, float | None], **more: Any) -> dict[str, Any]:
    """What scores.json holds for these IoUs, with parts replaced."""
    labelled = [iou for iou in ious.values() if iou is not None]
    protocol = {"network": "student", "size": [48, 96], "predictor": "whole", "ignore": 255}
    mean = sum(labelled) / len(labelled)
    return Scores(mean, ious, pixels=36864, accuracy=0.5, protocol=protocol).to_json() | more


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Write a run folder; `level` is about its IoU, and the class "train" is absent from its labels."""

    def make(
        name: str,
        level: float = 0.5,
        *,
        recipe: str = "daformer",
        classes: Sequence[str] = CLASSES,
        pictures: int = 2,
        steps: int = 300,
        losses: Sequence[str] = ("source/segmentation", "target/segmentation"),
        scores: bool = True,
    ) -> Path:
        folder = tmp_path / name
        (folder / "model").mkdir(parents=True)
        rng = np.random.default_rng(sum(name.encode()))
        experiment = {
            "recipe": recipe, "seed": 0, "steps": steps,
            "network": {"encoder": "mit_nano", "head": "daformer"},
            "data": {"pair": "street_scenes", "crop": [48, 96]}, "method": {"teacher": {"momentum": 0.99}},
            "optim": {"learning_rate": 6e-5},
        }  # fmt: skip
        (folder / "experiment.yaml").write_text(yaml.safe_dump(experiment, sort_keys=False))
        card = {
            "classes": list(classes), "colours": PALETTE.tolist(),
            "versions": {"segue": "0.1.0", "torch": "2.13.0"},
        }  # fmt: skip
        (folder / "model" / "card.json").write_text(json.dumps(card))
        write_logs(folder, rng, steps=steps, losses=losses)
        if pictures:
            write_pictures(folder, rng, number=pictures, noise=1 - level)
        if scores:
            ious = {c: min(1.0, level + 0.3 * (float(rng.random()) - 0.5)) for c in classes}
            source = scores_of(dict.fromkeys(classes, 0.82))
            found = scores_of(ious | {classes[-1]: None}, source_evaluation=source)
            (folder / "scores.json").write_text(json.dumps(found))
        return folder

    return make


@pytest.fixture
def pair(make_run: MakeRun) -> Callable[..., list[ShownRun]]:
    """Two runs with the given IoUs, the first one source-only unless said otherwise."""

    def make(before: dict, after: dict, *, recipe: str = "source_only", **more: Any) -> list[ShownRun]:
        folders = [make_run("first", recipe=recipe, pictures=0), make_run("second", pictures=0)]
        for folder, ious, extra in zip(folders, (before, after), ({}, more), strict=True):
            (folder / "scores.json").write_text(json.dumps(scores_of(ious, **extra)))
        return assign_roles([RunFolder(folder) for folder in folders])

    return make
