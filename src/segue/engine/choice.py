"""The networks of runs to choose from: their measures, their scores on a probe, and the chosen one as a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segue.engine.candidates import Kept, kept, measure_kept, record_of
from segue.engine.finished_run import labelled_pictures
from segue.evaluation.evidence import Record
from segue.evaluation.metrics import count, empty_confusion, total
from segue.evaluation.model import TrainedModel, locate
from segue.evaluation.scoring import Compared, evaluate
from segue.evaluation.selection import Candidate, Probe, probe
from segue.models.weights import save_model


@dataclass(frozen=True)
class Choice:
    """A candidate and where its weights are: a checkpoint, or the model that training started from."""

    candidate: Candidate
    weights: Kept | Path | None

    def model(self, device: torch.device) -> TrainedModel:
        """The network, ready to predict."""
        assert self.weights is not None, "only candidates whose weights are kept are loaded"
        return (
            TrainedModel.load(self.weights, device)
            if isinstance(self.weights, Path)
            else self.weights.model(device)
        )


@dataclass(frozen=True)
class Choices:
    """What there is to choose from, and the measures in the words of their record."""

    all: list[Choice]
    measures: dict[str, dict[str, Any]]


def gather(
    runs: Sequence[Path], device: torch.device, *, again: bool = False, pictures: int | None = None
) -> Choices:
    """The measured networks of runs; a start that several runs share is one candidate.

    Args:
        again: Measure the kept checkpoints now instead of reading what was recorded in training.
        pictures: How many of each domain to measure on.

    Raises:
        ValueError: If the runs were measured on different pictures, or there is nothing to choose from.
        OSError: If a run or its pictures are missing.
    """
    found: list[Choice] = []
    first: tuple[Path, Record] | None = None
    starts: set[str] = set()
    names = [run.resolve().name for run in runs]
    for run, name in zip(runs, names, strict=True):
        is_alone = names.count(name) == 1
        called = name if is_alone else f"{run.resolve().parent.name}/{name}"
        checkpoints = {one.step: one for one in kept(run)}
        recorded = None if again else record_of(run)
        if recorded and pictures is not None:
            raise ValueError(
                f"{run}: it was measured while it trained; another number of pictures goes with --measure"
            )
        record = recorded or list(measure_kept(run, device, pictures=pictures))[-1]
        first = first or (run, record)
        if (record.pictures, record.classes, record.measures) != (
            first[1].pictures,
            first[1].classes,
            first[1].measures,
        ):
            raise ValueError(
                f"{run} and {first[0]} were not measured alike (other pictures, classes or measures): measure them anew"
                " with --measure, or compare runs of one pair"
            )
        for row in record.rows:
            if row.step == 0 and (record.start is None or record.start in starts):
                continue
            weights = checkpoints.get(row.step) if row.step else _model_at(record.start)
            if row.step == 0:
                starts.add(str(record.start))
            found.append(Choice(Candidate(called, row, weights is not None), weights))
    assert first is not None, "typer asks for at least one run"
    return Choices(found, first[1].measures)


def score_choices(
    choices: Choices,
    device: torch.device,
    folder: Path,
    *,
    split: str | None = None,
    label_classes: Path | None = None,
    class_map: Mapping[str, str] | None = None,
) -> Probe:
    """Score the candidates whose weights are kept on a few labelled pictures.

    Raises:
        ValueError: If there are no labelled pictures, or they do not fit the model.
        OSError: If a file cannot be read.
    """
    confusions: list[np.ndarray | None] = []
    for one in choices.all:
        if one.weights is None:
            confusions.append(None)
            continue
        model, seen = one.model(device), list[np.ndarray]()
        data = labelled_pictures(model, folder, split=split, label_classes=label_classes, class_map=class_map)

        def watch(picture: Compared, seen: list[np.ndarray] = seen, number: int = len(model.classes)) -> None:
            confusion = empty_confusion(number, over_ranks=False)
            count(confusion, picture.prediction, label=picture.label)
            seen.append(total(confusion).numpy())

        evaluate(model, data, watch=watch)
        confusions.append(np.stack(seen))
    return probe(confusions)


def export_choice(choice: Choice, folder: Path) -> None:
    """Write a candidate's network as a model folder."""
    model = choice.model(torch.device("cpu"))
    save_model(folder, model.network, model.card)


def _model_at(path: str | None) -> Path | None:
    """A model folder or run folder, if it is still there."""
    try:
        return None if path is None else locate(Path(path)) and Path(path)
    except FileNotFoundError:
        return None
