"""How good a run's pseudo-labels were while it trained: measured after training, with labels that training never saw.

    segue train daformer ... --set run.keep=99 --set run.save_every=100 --out RUN
    python benchmarks/pseudo_labels.py RUN [RUN ...] --out benchmarks/pseudo_labels_dusk

A run keeps two checkpoints unless it is told otherwise, as above. For the start and every checkpoint that is left, the
run's own teacher labels crops of the target's TRAINING pictures, cut and batched as training does it, the same ones
each time; its batch norms do what they did in training. The labels of these pictures, from the pair's folder or the
generator of the street scenes, are read here, for measuring only: no setting of the run depends on them.

Written are ``OUT.json``, with all numbers, and ``OUT.svg``, two panels a run: labels and weights over the steps, and by
class how often the last teacher names it against how often it is there. The logged weight is what the target view
learnt with: where a recipe pastes source pixels, these count 1 in it.
"""

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined
from torch import Tensor

from segue.data.dataset import Dataset
from segue.engine import checkpoint
from segue.engine.build import build_method, build_student, crops
from segue.engine.domains import open_domain
from segue.engine.experiment import load
from segue.engine.log import read_lines
from segue.engine.model_card import versions
from segue.engine.settings import Experiment
from segue.evaluation.metrics import count, empty_confusion, scores, total
from segue.evaluation.model import choose_device
from segue.evaluation.pictures import evenly
from segue.files import write_text
from segue.memory import keep_memory
from segue.methods.context import Preparation
from segue.methods.self_training import SelfTraining, SelfTrainingSettings
from segue.models.build import normalisation
from segue.ops.quality import label_and_confidence
from segue.ops.resize import resize
from segue.report.curves import Chart, Curve, lay_out
from segue.settings import Settings
from segue.types import IGNORE, Sample

USUAL_THRESHOLD = 0.968
"""What "sure" means for a recipe that trusts its teacher otherwise."""


class Look(Settings):
    """The teacher at one time; shares and IoU are fractions.

    Attributes:
        step: Updates behind it.
        sure: Of all pixels, those at or above the threshold: the weight of most recipes.
        accuracy_of_sure: Among the labelled ones of these; None if there is none.
        named: By class, of the labelled pixels.
    """

    step: int
    accuracy: float
    mean_iou: float
    classes: dict[str, float | None]
    sure: float
    accuracy_of_sure: float | None
    named: dict[str, float]


class Diagnosis(Settings):
    """A run.

    Attributes:
        there: By class, the share of the labelled pixels of the crops.
        weights: What was logged as the target view's weight, by step.
    """

    recipe: str
    pair: str
    seed: int
    steps: int
    teacher: str
    threshold: float
    pictures: int
    looks: list[Look]
    there: dict[str, float]
    weights: list[tuple[int, float]]


class Record(Settings):
    """Runs by the last two parts of their folders' names."""

    runs: dict[str, Diagnosis]
    versions: dict[str, str]


class Crops(NamedTuple):
    """A batch as the teacher sees it: normalised, with the labels that it never sees."""

    image: Tensor
    label: Tensor


def diagnose(run: Path, *, device: torch.device, most: int) -> Diagnosis:
    """Measure the teacher of every checkpoint of a run.

    Raises:
        ValueError: If the run has no teacher that labels while it trains, or its target has no labels.
        FileNotFoundError: If it is no run, or the model that it started from is gone.
    """
    experiment = load(run / "experiment.yaml")
    settings = experiment.method
    if not isinstance(settings, SelfTrainingSettings):
        raise ValueError(f"{run}: in recipe {experiment.recipe} no teacher labels the target while it trains")
    torch.manual_seed(experiment.seed)
    method = build_method(experiment, build_student(experiment))
    assert isinstance(method, SelfTraining)
    target = open_domain(experiment.data, experiment.data.target, labelled=True)
    target.check()
    method.to(device).prepare(_preparation(experiment, run, device))
    threshold = USUAL_THRESHOLD if settings.threshold is None else settings.threshold
    batches = list(_batches(experiment, target, evenly(len(target), most), device))
    looks = [_look(method, batches, 0, threshold, target.classes.names)]
    for path in checkpoint.list_checkpoints(run / "checkpoints"):
        step = checkpoint.load(path, method, {}).step
        looks.append(_look(method, batches, step, threshold, target.classes.names))
    labels = torch.cat([batch.label.flatten() for batch in batches])
    there = torch.bincount(labels[labels != IGNORE], minlength=len(target.classes))
    return Diagnosis(
        recipe=experiment.recipe,
        pair=experiment.data.pair,
        seed=experiment.seed,
        steps=experiment.steps,
        teacher=settings.teacher.name,
        threshold=threshold,
        pictures=sum(len(batch.image) for batch in batches),
        looks=looks,
        there=_shares(there, target.classes.names),
        weights=[
            (row["step"], row["target/weight"])
            for row in read_lines(run / "metrics.jsonl")
            if "target/weight" in row
        ],
    )


def _preparation(experiment: Experiment, run: Path, device: torch.device) -> Preparation:
    """What a teacher whose layers were measured before training goes by; it finds them in the run's folder."""
    data = experiment.data
    source, target = (open_domain(data, domain, labelled=one) for domain, one in
                      ((data.source, True), (data.target, False)))  # fmt: skip
    return Preparation(
        run, source, target, {"source": data.source.resize, "target": data.target.resize}, device
    )


def _batches(
    experiment: Experiment, target: Dataset, chosen: Sequence[int], device: torch.device
) -> Iterator[Crops]:
    """One crop a picture, in batches of the run's size; the same crops whoever asks."""
    data = experiment.data
    mean, std = (
        torch.tensor(levels, device=device).view(3, 1, 1)
        for levels in normalisation(experiment.network.encoder)
    )
    _, crop = crops(experiment, experiment.method.reading(experiment.recipe))
    for first in range(0, len(chosen), data.batch):
        cut: list[Sample] = []
        for index in chosen[first : first + data.batch]:
            whole = Sample(target.image(index), target.label(index), None, target.name(index))
            cut.append(crop(whole, torch.Generator().manual_seed(index)))
        images = torch.stack([sample.image for sample in cut]).to(device).float()
        labels = torch.stack([sample.label for sample in cut if sample.label is not None])
        yield Crops((images - mean) / std, labels.long())


@torch.no_grad()
def _look(
    method: SelfTraining, batches: Sequence[Crops], step: int, threshold: float, names: Sequence[str]
) -> Look:
    """What the teacher says of the crops, in the mode in which it taught."""
    method.train()
    whole, sure = (empty_confusion(len(names), over_ranks=False) for _ in range(2))
    pixels = confident = 0
    for image, label in batches:
        taught = method.teacher(image)
        named, confidence = label_and_confidence(
            resize(taught.logits.float(), (image.shape[-2], image.shape[-1]))
        )
        if method.calibrate is not None:
            named = method.calibrate(taught, named)
        named, is_sure = named.cpu(), (confidence >= threshold).cpu()
        count(whole, named, label=label)
        count(sure, named, label=label.masked_fill(~is_sure, IGNORE))
        pixels += is_sure.numel()
        confident += int(is_sure.sum())
    all_pixels, sure_pixels = total(whole), total(sure)
    scored = scores(all_pixels, names)
    return Look(
        step=step,
        accuracy=scored.accuracy,
        mean_iou=scored.mean_iou,
        classes=scored.per_class_iou,
        sure=confident / pixels,
        accuracy_of_sure=_ratio(int(sure_pixels.diagonal().sum()), int(sure_pixels.sum())),
        named=_shares(all_pixels.sum(0), names),
    )  # fmt: skip


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _shares(pixels: Tensor, names: Sequence[str]) -> dict[str, float]:
    return dict(zip(names, (pixels.double() / pixels.sum()).tolist(), strict=True))


@dataclass(frozen=True)
class ClassPanel:
    """Classes from the most frequent one down, with the places of two shares on an axis by powers of ten.

    Attributes:
        lines: Of each class the height, the name, where it is and how often it is named.
        ticks: Places and labels.
    """

    LEFT = 92
    RIGHT = 296
    TOP = 8
    LINE = 15
    LEAST = 1e-4  # smaller shares stand at the left end

    lines: list[tuple[float, str, float, float]]
    ticks: list[tuple[float, str]]
    bottom: float


def class_panel(diagnosis: Diagnosis) -> ClassPanel:
    """What the last teacher names against what is there."""
    left, right, least = ClassPanel.LEFT, ClassPanel.RIGHT, ClassPanel.LEAST

    def x(share: float) -> float:
        along = math.log10(max(share, least) / least) / math.log10(1 / least)
        return round(left + along * (right - left), 1)

    there, named = diagnosis.there, diagnosis.looks[-1].named
    order = sorted(there, key=lambda name: -there[name])
    lines = [
        (ClassPanel.TOP + ClassPanel.LINE * (place + 0.5), name, x(there[name]), x(named[name]))
        for place, name in enumerate(order)
    ]
    marks = [(x(share), f"{100 * share:g} %") for share in (1e-4, 1e-3, 1e-2, 1e-1, 1.0)]
    return ClassPanel(lines, marks, ClassPanel.TOP + ClassPanel.LINE * len(order) + 3)


LINES = (
    ("accuracy", "#12958a", lambda look: look.accuracy),
    ("accuracy where sure", "#b97c10", lambda look: look.accuracy_of_sure),
    ("mean IoU", "#8a4fc4", lambda look: look.mean_iou),
    ("share of sure pixels", "#848d9c", lambda look: look.sure),
)
WEIGHT = ("logged weight", "#bf3b22")


def line_panel(name: str, diagnosis: Diagnosis) -> Chart:
    """Labels and weights over the steps."""

    def curve(colour: str, points: Sequence[tuple[int, float | None]]) -> Curve:
        values = np.array([np.nan if value is None else value for _, value in points])
        return Curve(colour, np.array([step for step, _ in points]), values, values)

    curves = [curve(colour, [(one.step, of(one)) for one in diagnosis.looks]) for _, colour, of in LINES]
    if diagnosis.weights:
        curves.append(curve(WEIGHT[1], diagnosis.weights))
    return lay_out(name, curves, "")


def drawing(record: Record) -> str:
    """The panels of all runs as one SVG."""
    here = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=ChoiceLoader([here, PackageLoader("segue.report", "template")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    panels: list[dict[str, Any]] = [
        {"name": name, "chart": line_panel(name, one), "classes": class_panel(one), "run": one}
        for name, one in record.runs.items()
    ]
    key = [*((name, colour) for name, colour, _ in LINES), WEIGHT]
    return environment.get_template("pseudo_labels.svg.j2").render(panels=panels, key=key)


def main(arguments: Sequence[str] | None = None) -> None:
    """Diagnose the runs that are named; write the record and the drawing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    parser.add_argument("--out", type=Path, default=Path("pseudo_labels"), help="two files of this name")
    parser.add_argument("--device", help="cpu, cuda, cuda:1; a GPU if there is one")
    parser.add_argument("--pictures", type=int, default=200, help="target pictures, taken evenly")
    given = parser.parse_args(arguments)
    keep_memory()
    found: dict[str, Diagnosis] = {}
    for run in given.runs:
        name = "/".join(run.resolve().parts[-2:])
        if name in found:
            parser.error(f"two runs are called {name}")
        try:
            found[name] = diagnose(run, device=choose_device(given.device), most=given.pictures)
        except (ValueError, OSError) as error:
            parser.error(str(error))
        for look in found[name].looks:
            print(f"{name} step {look.step}: {_line(look)}")
    record = Record(runs=found, versions=versions())
    short = json.loads(record.model_dump_json(), parse_float=lambda number: round(float(number), 4))
    write_text(given.out.with_suffix(".json"), json.dumps(short) + "\n")
    write_text(given.out.with_suffix(".svg"), drawing(record))


def _line(look: Look) -> str:
    of_sure = "" if look.accuracy_of_sure is None else f", of which {100 * look.accuracy_of_sure:.1f} right"
    scored = f"accuracy {100 * look.accuracy:.1f}, mean IoU {100 * look.mean_iou:.1f}"
    return f"{scored}, sure {100 * look.sure:.1f}{of_sure}"


if __name__ == "__main__":
    main()
